# SPDX-License-Identifier: Apache-2.0
#
# Medians of JSON lines of bench/measure, as a Markdown table with a line for each system: for many
# systems, not all of them in each comparison. The ratio is to the first p2pbus of the comparison:
# above 1 that one is slower in a round trip, faster one way.
#
#	awk -f median.awk -f lines.awk rings.jsonl

function add(metric) {
	values[at, metric] = values[at, metric] " " field(metric)
}

{
	row = field("bench") " " field("size") " B"
	if (field("group") != "")
		row = row ", " field("group")
	name = field("system")
	at = row SUBSEP name
	if (!(at in seen)) {
		seen[at] = 1
		lines[++n_lines] = at
		bench[at] = field("bench")
	}
	if (!(row in first) && name ~ /^p2pbus/)
		first[row] = at
	n = split("p50_us p99_us p999_us msgs_per_s mb_per_s cpu_us", metrics, " ")
	for (i = 1; i <= n; i++)
		add(metrics[i])
}

function show(wanted, title, shown, columns,    n, c, i, l, part, mine, theirs) {
	n = split(columns, c, " ")
	printf "| %s | system |%s p2pbus / it |\n|---|---|", title, shown
	for (i = 0; i <= n; i++)
		printf "---|"
	printf "\n"
	for (l = 1; l <= n_lines; l++) {
		at = lines[l]
		if (bench[at] != wanted)
			continue
		split(at, part, SUBSEP)
		printf "| %s | %s |", part[1], part[2]
		for (i = 1; i <= n; i++)
			printf " %s |", median(values[at, c[i]])
		mine = median(values[first[part[1]], c[1]]) + 0
		theirs = median(values[at, c[1]]) + 0
		if (mine > 0 && theirs > 0)
			printf " %.2f |\n", mine / theirs
		else
			printf " |\n"
	}
	printf "\n"
}

END {
	show("roundtrip", "round trip", " p50 us | p99 us | p99.9 us | CPU us |", "p50_us p99_us p999_us cpu_us")
	show("oneway", "one way", " msgs/s | MB/s | CPU us |", "msgs_per_s mb_per_s cpu_us")
}
