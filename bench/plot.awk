# SPDX-License-Identifier: Apache-2.0
#
# One plot as SVG: awk -f plot.awk plot.txt >plot.svg
#
#	title TEXT; x TEXT; y TEXT         above, below and beside it
#	x-from N, x-to N, y-from N, y-to N the ends of an axis, if the data is not to say it
#	y-log                              the vertical axis is logarithmic
#	line NAME                          what follows are points "X Y", joined by lines
#	dots NAME                          the same, and each point is marked
#	marks NAME                         what follows are "X": a vertical line each
#	level Y NAME                       a horizontal line
#	category TEXT                      of bars, in this order, instead of a horizontal axis
#	bars NAME                          what follows are heights, one for each category
#
# The legend has the NAME of each series that has data; without any there is an empty plot.

BEGIN {
	width = 800
	height = 400
	left = 76
	right = 24
	top = 72
	bottom = 58
	split("#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9", colours, " ")
}

function rest(n,    text) {
	text = $0
	while (n-- > 0)
		sub(/^[^ ]+ */, "", text)
	return text
}

function begin_series(kind, name) {
	n_series++
	kinds[n_series] = kind
	names[n_series] = name
	counts[n_series] = 0
}

function reach_x(v) {
	if (!has_x || v < least_x) least_x = v
	if (!has_x || v > most_x) most_x = v
	has_x = 1
}

function reach_y(v) {
	if (is_log && v <= 0)
		return
	if (!has_y || v < least_y) least_y = v
	if (!has_y || v > most_y) most_y = v
	has_y = 1
}

$1 == "title" { title = rest(1); next }
$1 == "x" { x_text = rest(1); next }
$1 == "y" { y_text = rest(1); next }
$1 == "y-log" { is_log = 1; next }
$1 ~ /^[xy]-(from|to)$/ { ends[$1] = $2; next }
$1 == "category" { categories[++n_categories] = rest(1); next }
$1 == "line" || $1 == "dots" || $1 == "marks" || $1 == "bars" { begin_series($1, rest(1)); next }
$1 == "level" {
	begin_series("level", rest(2))
	ys[n_series, ++counts[n_series]] = $2
	reach_y($2 + 0)
	next
}
n_series > 0 && NF > 0 {
	i = ++counts[n_series]
	if (kinds[n_series] == "bars") {
		ys[n_series, i] = $1
		reach_y($1 + 0)
	} else if (kinds[n_series] == "marks") {
		xs[n_series, i] = $1
	} else {
		xs[n_series, i] = $1
		ys[n_series, i] = $2
		reach_x($1 + 0)
		reach_y($2 + 0)
	}
}

function escape(text) {
	gsub(/&/, "\\&amp;", text)
	gsub(/</, "\\&lt;", text)
	return text
}

function log10(v) {
	return log(v) / log(10)
}

function at_x(v) {
	return left + (v - from_x) / (to_x - from_x) * (width - left - right)
}

function at_y(v,    part) {
	if (is_log)
		part = (log10(v > from_y ? v : from_y) - log10(from_y)) / (log10(to_y) - log10(from_y))
	else
		part = (v - from_y) / (to_y - from_y)
	return height - bottom - part * (height - top - bottom)
}

function short(v) {
	if (v >= 1000000)
		return sprintf("%.3gM", v / 1000000)
	if (v >= 10000)
		return sprintf("%.3gk", v / 1000)
	return v >= 1000 ? sprintf("%d", v) : sprintf("%.3g", v)
}

# A step of 1, 2 or 5 with about N of them in SPAN.
function nice_step(span, n,    step) {
	step = 1
	while (step * n < span) step *= 10
	while (step * n >= span * 10) step /= 10
	if (step * n / 5 >= span) return step / 5
	if (step * n / 2 >= span) return step / 2
	return step
}

function text_at(x, y, anchor, what, more) {
	printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>%s</text>\n", x, y, anchor, more, escape(what)
}

function rule(x1, y1, x2, y2, colour, more) {
	printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"%s/>\n", x1, y1, x2, y2, colour, more
}

function choose_ends(    pad) {
	if (!has_x) { least_x = 0; most_x = 1 }
	if (!has_y) { least_y = is_log ? 1 : 0; most_y = is_log ? 10 : 1 }
	from_x = "x-from" in ends ? ends["x-from"] + 0 : (least_x > 0 && least_x < most_x / 2 ? 0 : least_x)
	to_x = "x-to" in ends ? ends["x-to"] + 0 : most_x
	if (to_x <= from_x) to_x = from_x + 1
	if (is_log) {
		from_y = 1
		while (from_y * 10 <= least_y) from_y *= 10
		while (from_y * (n_categories > 0 ? 2 : 1) > least_y) from_y /= 10
		to_y = from_y * 10
		while (to_y < most_y) to_y *= 10
	} else {
		from_y = "y-from" in ends ? ends["y-from"] + 0 : (least_y < 0 ? least_y : 0)
		to_y = "y-to" in ends ? ends["y-to"] + 0 : most_y
		if (to_y <= from_y) to_y = from_y + 1
		pad = nice_step(to_y - from_y, 6)
		if (!("y-to" in ends))
			to_y = from_y + pad * (int((to_y - from_y) / pad) + 1)
	}
}

function draw_axes(    step, v, i, slot) {
	if (is_log) {
		for (v = from_y; v <= to_y * 1.001; v *= 10) {
			rule(left, at_y(v), width - right, at_y(v), "#dddddd", "")
			text_at(left - 8, at_y(v) + 4, "end", short(v), "")
		}
	} else {
		step = nice_step(to_y - from_y, 6)
		for (i = 0; from_y + i * step <= to_y + step / 1000; i++) {
			v = from_y + i * step
			rule(left, at_y(v), width - right, at_y(v), "#dddddd", "")
			text_at(left - 8, at_y(v) + 4, "end", short(v), "")
		}
	}
	if (n_categories > 0) {
		slot = (width - left - right) / n_categories
		for (i = 1; i <= n_categories; i++)
			text_at(left + slot * (i - 0.5), height - bottom + 18, "middle", categories[i], "")
	} else {
		step = nice_step(to_x - from_x, 10)
		for (i = int(from_x / step); i * step <= to_x + step / 1000; i++) {
			v = i * step
			if (v < from_x)
				continue
			rule(at_x(v), height - bottom, at_x(v), height - bottom + 5, "#444444", "")
			text_at(at_x(v), height - bottom + 18, "middle", short(v), "")
		}
	}
	rule(left, height - bottom, width - right, height - bottom, "#444444", "")
	rule(left, top, left, height - bottom, "#444444", "")
	text_at((left + width - right) / 2, height - 14, "middle", x_text, "")
	text_at(0, 0, "middle", y_text, \
		sprintf(" transform=\"translate(18 %.1f) rotate(-90)\"", (top + height - bottom) / 2))
}

function draw_line(s, colour,    i) {
	printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\" stroke-linejoin=\"round\" points=\"", colour
	for (i = 1; i <= counts[s]; i++)
		printf "%.1f,%.1f ", at_x(xs[s, i]), at_y(ys[s, i])
	printf "\"/>\n"
	if (kinds[s] == "dots")
		for (i = 1; i <= counts[s]; i++)
			printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", at_x(xs[s, i]), at_y(ys[s, i]), colour
}

function draw_bars(s, colour,    i, slot, bar, x, y) {
	slot = (width - left - right) / n_categories
	bar = slot * 0.8 / n_bars
	nth_bars++
	for (i = 1; i <= counts[s]; i++) {
		x = left + slot * (i - 1) + slot * 0.1 + bar * (nth_bars - 1)
		y = at_y(ys[s, i])
		printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x, y, bar - 2, height - bottom - y, colour
		text_at(x + bar / 2 - 1, y - 4, "middle", short(ys[s, i]), " font-size=\"10\"")
	}
}

function draw_legend(    s, x, dashed) {
	x = left
	for (s = 1; s <= n_series; s++) {
		if (counts[s] == 0)
			continue
		if (kinds[s] == "bars") {
			printf "<rect x=\"%.1f\" y=\"%d\" width=\"18\" height=\"10\" fill=\"%s\"/>\n", x, top - 31, paint[s]
		} else {
			dashed = kinds[s] == "level" ? " stroke-width=\"1.8\" stroke-dasharray=\"7 4\"" : \
				kinds[s] == "marks" ? " stroke-dasharray=\"2 3\"" : " stroke-width=\"1.8\""
			rule(x, top - 26, x + 18, top - 26, paint[s], dashed)
		}
		text_at(x + 24, top - 22, "start", names[s], "")
		x += 24 + 6.6 * length(names[s]) + 22
	}
}

END {
	choose_ends()
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" " \
		"font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"12\" fill=\"#222222\">\n", width, height, width, height
	printf "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", width, height
	text_at(left, 24, "start", title, " font-size=\"15\" font-weight=\"bold\"")
	draw_axes()
	for (s = 1; s <= n_series; s++) {
		paint[s] = kinds[s] == "marks" ? "#777777" : colours[n_painted++ % 6 + 1]
		n_bars += kinds[s] == "bars"
	}
	for (s = 1; s <= n_series; s++)
		if (kinds[s] == "marks")
			for (i = 1; i <= counts[s]; i++)
				rule(at_x(xs[s, i]), top, at_x(xs[s, i]), height - bottom, paint[s], " stroke-dasharray=\"2 3\"")
	for (s = 1; s <= n_series; s++)
		if (kinds[s] == "line" || kinds[s] == "dots")
			draw_line(s, paint[s])
		else if (kinds[s] == "bars")
			draw_bars(s, paint[s])
		else if (kinds[s] == "level")
			rule(left, at_y(ys[s, 1]), width - right, at_y(ys[s, 1]), paint[s], " stroke-width=\"1.8\" stroke-dasharray=\"7 4\"")
	draw_legend()
	print "</svg>"
}
