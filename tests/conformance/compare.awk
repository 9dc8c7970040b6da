# awk -f compare.awk EXCEPTIONS DIRECT THROUGH: prints what differs and is not excepted; the last line counts.
# A line of EXCEPTIONS: function|state|case|direct|through|reason, where * stands for anything and a comma parts alternatives; direct and
# through are "CKR_…" or "CKR_… outputs" as the transcript has them.
function matches(pattern, text) {
	gsub(/[][().+?^$\\{}]/, "\\\\&", pattern)
	gsub(/\*/, ".*", pattern)
	gsub(/,/, "|", pattern)
	return text ~ ("^(" pattern ")$")
}
function excepted(direct, through,   i, d, t, e) {
	split(direct, d, "|"); split(through, t, "|")
	for (i = 1; i <= exceptions; i++) {
		split(rule[i], e, "|")
		if (matches(e[1], d[1]) && matches(e[2], d[2]) && matches(e[3], d[3]) && matches(e[4], d[4] d[5]) && matches(e[5], t[4] t[5])) {
			used[i]++
			return 1
		}
	}
	return 0
}
FILENAME == ARGV[1] { if ($0 !~ /^#/ && $0 != "") rule[++exceptions] = $0; next }
FILENAME == ARGV[2] { direct[FNR] = $0; lines = FNR; next }
{
	through_lines = FNR
	split(direct[FNR], field, "|")
	if (field[1] ~ /^C_/) {
		shapes[field[1]]++
		if (field[4] ~ /^(CKR_|0x)/ && !((field[1] " " field[4]) in code)) { code[field[1] " " field[4]] = 1; codes++ }
	}
	if (direct[FNR] == $0) { same++; next }
	if (excepted(direct[FNR], $0)) { same++; next }
	different++
	if (different <= 200) { print "direct:  " direct[FNR]; print "through: " $0 }
}
END {
	for (i = 1; i <= exceptions; i++)
		if (!used[i]) { print "unused exception: " rule[i]; different++ }
	if (exceptions > 15) { print exceptions " exceptions; 15 are allowed"; different++ }
	if (lines != through_lines) { print "transcripts of " lines " and " through_lines " lines"; different++ }
	for (name in shapes) {
		functions++
		if (shapes[name] < 8) { print name ": only " shapes[name] " cases"; different++ }
	}
	if (functions != 68) { print functions " functions of 68"; different++ }
	print "figure: parity: " functions " functions, " codes " function and return value pairs, " lines " cases, " exceptions + 0 " exceptions"
	print same + 0 " passed, " different + 0 " failed"
	exit different > 0
}
