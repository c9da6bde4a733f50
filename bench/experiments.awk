# SPDX-License-Identifier: Apache-2.0
#
# What bench/experiments makes of a part's lines: awk -f median.awk -f experiments.awk -v what=WHAT FILE
#
#	latency, scale, faults, network      the part's table, in Markdown
#	NAME-plot                            what plot.awk draws
#	failures                             a line for each measurement in which anything went wrong

function ms(usec,    v) {
	v = usec / 1000
	return sprintf(v < 1 ? "%.3f" : v < 100 ? "%.2f" : "%.0f", v)
}

# One way, in ms, as the condition says it.
function delay_of(group) {
	return match(group, /[0-9]+ ms/) ? substr(group, RSTART, RLENGTH - 3) + 0 : 0
}

function share(part, all) {
	return all == 0 ? "-" : sprintf("%.4g %%", 100 * part / all)
}

{ bench = field("bench"); group = field("group") }

bench ~ /^(stream|burst|roundtrip)$/ {
	line[++n] = $0
	at[n] = group
	b[n] = bench
}
bench == "stream-begin" { began = field("began") }
bench == "kill" { kill_at[group, ++n_kills[group]] = field("at") - began }
bench == "cut" { cut = field("at") - began }
bench == "mended" { mended = field("at") - began }
# Steps of streams with a rate; of one that is measured twice, the first.
bench == "stream-step" && field("size") == 256 {
	i = ++n_steps[group]
	step_at[group, i] = field("at_s")
	step_n[group, i] = field("arrived")
	step_max[group, i] = field("max_us")
}
bench == "burst-step" {
	burst_at[++n_burst] = field("at_s")
	burst_n[n_burst] = field("received")
}
bench == "relay" {
	questions = field("questions")
	refused = field("refused")
}
bench == "broker" { part_of[field("pid")] = field("part") }
bench == "burst-memory" {
	p = part_of[field("broker")]
	before[p] += field("before_kib")
	attached[p] += field("attached_kib")
	after[p] += field("after_kib")
}

# The figure of line I.
function of(i, name) {
	$0 = line[i]
	return field(name)
}

function latency_table(    i, wire, enough) {
	print "| way | bytes | round trips | wire, ms | p50, ms | p99, ms | p99.9, ms | added: p50, ms | p99, ms | p99.9, ms |"
	print "|---|---|---|---|---|---|---|---|---|---|"
	for (i = 1; i <= n; i++) {
		wire = 2000 * delay_of(at[i])
		enough = of(i, "n") + 0 >= 1000
		printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", at[i], of(i, "size"), of(i, "n"), \
			wire / 1000, ms(of(i, "p50_us")), ms(of(i, "p99_us")), \
			enough ? ms(of(i, "p999_us")) : "-", ms(of(i, "p50_us") - wire), \
			ms(of(i, "p99_us") - wire), enough ? ms(of(i, "p999_us") - wire) : "-"
	}
}

function latency_bars(name, text,    i) {
	print "bars " text
	for (i = 1; i <= n; i++)
		if (of(i, "size") == 64)
			print of(i, name) - 2000 * delay_of(at[i])
}

function latency_plot(    i) {
	print "title Round trip of 64 bytes without the wire's own delay"
	print "y microseconds"
	print "x each way through one relay; wires of 0, 10, 20 and 30 ms each way"
	print "y-log"
	for (i = 1; i <= n; i++)
		if (of(i, "size") == 64)
			print "category " at[i]
	latency_bars("p50_us", "p50")
	latency_bars("p99_us", "p99")
}

function scale_table(    p, parts, i) {
	print "| what | seen |\n|---|---|"
	printf "| processes, on four hosts | %d |\n", of(1, "clients")
	printf "| all attached and reachable from other hosts | %.1f s, %d a second |\n", of(1, "attach_s"), of(1, "attaches_per_s")
	printf "| messages of 64 bytes, each to a process of another host | %d |\n", of(1, "messages")
	printf "| in flight at once | %d |\n", of(1, "in_flight")
	printf "| all arrived after | %.1f s |\n", of(1, "burst_s")
	printf "| lost, doubled, out of order | %d, %d, %d |\n", of(1, "lost"), of(1, "doubled"), of(1, "disordered")
	printf "| CPU time a message: daemons, bridges and relay; libraries of both ends | %d us; %d us |\n", \
		of(1, "broker_cpu_us"), of(1, "library_cpu_us")
	printf "| of all CPU time there was | %d %% |\n", \
		of(1, "messages") * (of(1, "broker_cpu_us") + of(1, "library_cpu_us")) / (of(1, "burst_s") * 10000 * cpus)
	printf "| questions for an address to the relay, and over its rate | %d, %d |\n\n", questions, refused
	print "| memory, KiB a process | attached | after the messages |\n|---|---|---|"
	split("bus bridge relay", parts, " ")
	for (i = 1; i <= 3; i++) {
		p = parts[i]
		printf "| %s | %.2f | %.2f |\n", p == "bus" ? "daemons" : p == "bridge" ? "bridges" : p, \
			(attached[p] - before[p]) / of(1, "clients"), (after[p] - before[p]) / of(1, "clients")
	}
	printf "| the process's own, library and its sessions | | %.1f |\n", of(1, "library_kib")
}

function scale_plot(    i) {
	printf "title %d messages at once among %d processes on four hosts\n", of(1, "messages"), of(1, "clients")
	print "x seconds"
	print "y messages that have arrived"
	printf "x-to %.2f\n", of(1, "burst_s")
	print "line arrived\n0 0"
	for (i = 1; i <= n_burst && burst_at[i] + 0 <= of(1, "burst_s") + 0; i++)
		print burst_at[i], burst_n[i]
	print of(1, "burst_s"), of(1, "messages") - of(1, "lost")
	printf "level %d sent\n", of(1, "messages")
}

function faults_row(text, paper, form, a, b, c, d,    i) {
	printf "| %s | %s |", text, paper
	for (i = 1; i <= n; i++)
		printf " " form " |", a == "" ? "" : of(i, a), b == "" ? "" : of(i, b), c == "" ? "" : of(i, c), d == "" ? "" : of(i, d)
	print ""
}

function faults_table(    i) {
	printf "| | the paper |"
	for (i = 1; i <= n; i++)
		printf " %s |", at[i]
	printf "\n|---|---|"
	for (i = 1; i <= n; i++)
		printf "---|"
	printf "\n| **delivered** | **95 %%** |"
	for (i = 1; i <= n; i++)
		printf " **%s** |", share(of(i, "received"), of(i, "sent"))
	print ""
	faults_row("messages sent", "", "%d", "sent")
	faults_row("lost, doubled, out of order", "", "%d, %d, %d", "lost", "doubled", "disordered")
	faults_row("the sender was told", "", "%s", "sender_told")
	printf "| relays killed | |"
	for (i = 1; i <= n; i++)
		printf " %d |", n_kills[at[i]]
	printf "\n| age on arrival: p50, p99, p99.9, the oldest, ms | |"
	for (i = 1; i <= n; i++)
		printf " %s, %s, %s, %s |", ms(of(i, "p50_us")), ms(of(i, "p99_us")), ms(of(i, "p999_us")), ms(of(i, "max_us"))
	printf "\n| longest time without an arrival, ms | |"
	for (i = 1; i <= n; i++)
		printf " %s |", ms(of(i, "pause_us"))
	print ""
	faults_row("taken from the sender more than 10 ms late", "", "%d", "late")
}

function marks(g,    i) {
	print "marks a relay is killed"
	for (i = 1; i <= n_kills[g]; i++)
		print kill_at[g, i]
}

function faults_plot(    i, g) {
	g = at[n]
	print "title Arrivals, " g " every two to four seconds"
	print "x seconds\ny messages a second"
	print "line arrived"
	for (i = 1; i <= n_steps[g]; i++)
		print step_at[g, i] + 0.05, step_n[g, i] * 10
	print "level " of(n, "rate") " sent"
	marks(g)
}

function faults_age_plot(    i, g) {
	g = at[n]
	print "title The oldest message of each tenth of a second, " g
	print "x seconds\ny milliseconds since it was due"
	print "line age"
	for (i = 1; i <= n_steps[g]; i++)
		print step_at[g, i] + 0.05, step_max[g, i] / 1000
	marks(g)
}

# Of all messages that were due a second before.
function delivered_line(k,    i, t, due, sum, all, v) {
	print "line " at[k]
	all = of(k, "sent") + 0
	for (i = 1; i <= n_steps[at[k]]; i++) {
		sum += step_n[at[k], i]
		t = step_at[at[k], i] + 0.1
		due = (t - 1) * of(k, "rate")
		if (due > all)
			due = all
		if (due <= 0)
			continue
		v = 100 * sum / due
		print t, (v > 100 ? 100 : v)
	}
}

function faults_share_plot(    i) {
	print "title Delivered by p2pbus while relays are killed"
	print "x seconds\ny % of what was due a second before"
	print "y-from 90\ny-to 101"
	for (i = 1; i <= n; i++)
		delivered_line(i)
	print "level 95 the paper: 95 %"
	marks(at[n])
}

# The line of a condition with messages of SIZE, or 0.
function find(group, size,    i) {
	for (i = 1; i <= n; i++)
		if (at[i] == group && of(i, "size") == size)
			return i
	return 0
}

function network_table(    i, j, sizes, k) {
	print "| network, one way | stream: delivered | p50, ms | p99, ms | p99.9, ms | longest pause, ms | 16 KiB: delivered | MB/s | 1 MiB: delivered | MB/s |"
	print "|---|---|---|---|---|---|---|---|---|---|"
	split("16384 1048576", sizes, " ")
	for (i = 1; i <= n; i++) {
		if (of(i, "size") != 256)
			continue
		printf "| %s | %s | %s | %s | %s | %s |", at[i], share(of(i, "received"), of(i, "sent")), ms(of(i, "p50_us")), \
			ms(of(i, "p99_us")), ms(of(i, "p999_us")), ms(of(i, "pause_us"))
		for (k = 1; k <= 2; k++)
			if ((j = find(at[i], sizes[k])) > 0)
				printf " %s | %.2f |", share(of(j, "received"), of(j, "sent")), of(j, "mb_per_s")
			else
				printf " | |"
		print ""
	}
}

# LOSS of the conditions that differ in nothing else, or -1.
function loss_of(group) {
	if (group == "20 ms")
		return 0
	return group ~ /^20 ms, [0-9.]+ % lost$/ ? substr(group, 8) + 0 : -1
}

function loss_points(size, name, divisor,    i) {
	for (i = 1; i <= n; i++)
		if (loss_of(at[i]) >= 0 && of(i, "size") == size)
			print loss_of(at[i]), of(i, name) / divisor
}

function network_plot() {
	print "title One sender, as much as goes through, over wires that lose packets, 20 ms one way"
	print "x % lost on each of two wires, in each direction\ny MB/s"
	print "dots messages of 16 KiB"
	loss_points(16384, "mb_per_s", 1)
	print "dots messages of 1 MiB"
	loss_points(1048576, "mb_per_s", 1)
}

function network_age_plot() {
	print "title A stream of 500 messages a second over the same wires"
	print "x % lost on each of two wires, in each direction\ny age on arrival, milliseconds"
	print "dots p50"
	loss_points(256, "p50_us", 1000)
	print "dots p99"
	loss_points(256, "p99_us", 1000)
	print "dots p99.9"
	loss_points(256, "p999_us", 1000)
}

function network_cut_plot(    i, sum) {
	print "title A wire is cut for ten seconds under a stream of " of(n, "rate") " messages a second"
	print "x seconds\ny messages"
	print "line sent\n0 0"
	print of(n, "seconds"), of(n, "sent")
	print "line arrived\n0 0"
	for (i = 1; i <= n_steps[at[n]]; i++)
		print step_at[at[n], i] + 0.1, sum += step_n[at[n], i]
	print "marks cut, mended"
	print cut
	print mended
}

function failures(    i, bad) {
	for (i = 1; i <= n; i++) {
		bad = of(i, "lost") + of(i, "doubled") + of(i, "disordered")
		if (bad > 0 || (b[i] == "stream" && of(i, "sender_told") != "delivered"))
			printf "%s, %s: %d lost, %d doubled, %d out of order; the sender was told: %s\n", b[i], at[i], \
				of(i, "lost"), of(i, "doubled"), of(i, "disordered"), of(i, "sender_told")
	}
}

END {
	if (what == "latency") latency_table()
	else if (what == "latency-plot") latency_plot()
	else if (what == "scale") scale_table()
	else if (what == "scale-plot") scale_plot()
	else if (what == "faults") faults_table()
	else if (what == "faults-plot") faults_plot()
	else if (what == "faults-age-plot") faults_age_plot()
	else if (what == "faults-share-plot") faults_share_plot()
	else if (what == "network") network_table()
	else if (what == "network-plot") network_plot()
	else if (what == "network-age-plot") network_age_plot()
	else if (what == "network-cut-plot") network_cut_plot()
	else if (what == "failures") failures()
}
