# SPDX-License-Identifier: Apache-2.0
#
# Medians of JSON lines of bench/measure, as a Markdown table, a column for each system, and the
# ratio of p2pbus to it, as median.awk has it:
#	awk -f median.awk -f table.awk [figures='p50_us ...'] daemon.jsonl
#
# A system with its other side off-host is a column of its own; where lines name a build, each build is
# a column, and each system has rows of its own.

function add(metric,    value, key) {
	value = field(metric)
	if (value == "")
		return
	key = row SUBSEP metric SUBSEP system_name
	values[key] = values[key] " " value
	if (!((row, metric) in seen_row)) {
		seen_row[row, metric] = 1
		rows[++n_rows] = row SUBSEP metric
	}
	if (!(system_name in seen_system)) {
		seen_system[system_name] = 1
		systems[++n_systems] = system_name
	}
}

{
	system_name = field("system")
	row = field("bench") " " field("size") " B"
	if (field("clients") != "")
		row = field("bench") " of " field("clients")
	if (field("subscribers") != "")
		row = field("bench") " " field("size") " B to " field("subscribers")
	if (field("one_cpu") == "true")
		row = row ", one CPU"
	if (field("two_cpus") == "true")
		row = row ", two CPUs"
	if (field("idle") + 0 > 0)
		row = row ", among " field("idle") " idle"
	if (field("far") == "true")
		system_name = system_name "-off-host"
	if (field("build") != "") {
		row = system_name " " row
		system_name = field("build")
	}
	n_metrics = split(figures != "" ? figures : "p50_us p99_us p999_us msgs_per_s deliveries_per_s mb_per_s attaches_per_s attach_s " \
		"kib_per_client burst_s lost cpu_us client_cpu_us sender_cpu_us receiver_cpu_us broker_cpu_us " \
		"sender_instructions receiver_instructions daemon_instructions", metrics, " ")
	for (i = 1; i <= n_metrics; i++)
		add(metrics[i])
}

END {
	printf "| what | figure |"
	for (s = 1; s <= n_systems; s++)
		printf " %s |", systems[s]
	for (s = 2; s <= n_systems; s++)
		printf " %s / %s |", systems[1], systems[s]
	printf "\n|---|---|"
	for (s = 1; s < 2 * n_systems; s++)
		printf "---|"
	printf "\n"
	for (r = 1; r <= n_rows; r++) {
		split(rows[r], part, SUBSEP)
		printf "| %s | %s |", part[1], part[2]
		for (s = 1; s <= n_systems; s++)
			printf " %s |", median(values[rows[r], systems[s]])
		for (s = 2; s <= n_systems; s++) {
			quotient = ratio(values[rows[r], systems[1]], values[rows[r], systems[s]])
			printf quotient == "" ? " |" : " %.2f |", quotient
		}
		printf "\n"
	}
}
