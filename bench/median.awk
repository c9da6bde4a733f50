# SPDX-License-Identifier: Apache-2.0
#
# What the tables are made with: fields of a line of bench/measure, and medians.

function field(name,    m) {
	if (match($0, "\"" name "\":(\"[^\"]*\"|[^,}]*)") == 0)
		return ""
	m = substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
	gsub(/"/, "", m)
	return m
}

function median(list,    v, n, i, j, t) {
	n = split(list, v, " ")
	if (n == 0)
		return ""
	for (i = 2; i <= n; i++) {
		t = v[i] + 0
		for (j = i - 1; j > 0 && v[j] + 0 > t; j--)
			v[j + 1] = v[j]
		v[j + 1] = t
	}
	return v[int((n + 1) / 2)]
}

# Of the quotients round by round, in which what makes a machine slower for a while is in both; of the
# medians where the lists are not of the same rounds.
function ratio(list, of,    v, w, n, m, i, quotients) {
	n = split(list, v, " ")
	m = split(of, w, " ")
	if (n == 0)
		return ""
	if (n != m)
		return median(of) + 0 == 0 ? "" : median(list) / median(of)
	for (i = 1; i <= n; i++)
		if (w[i] + 0 != 0)
			quotients = quotients " " v[i] / w[i]
	return median(quotients)
}
