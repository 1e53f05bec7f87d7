# Compiler commands of "make -n" as compile_commands.json.
/ -c [^ ]+\.c -o / {
	line = $0
	sub(/^tools\/handlers-object [^ ]+ "[^"]*" [^ ]+ /, "", line)
	gsub(/\\/, "\\\\", line); gsub(/"/, "\\\"", line)
	match($0, / -c [^ ]+\.c/)
	file = substr($0, RSTART + 4, RLENGTH - 4)
	printf "%s{\"directory\":\"%s\",\"command\":\"%s\",\"file\":\"%s\"}",
		(n++ ? ",\n" : "[\n"), dir, line, file
}
END { print n ? "\n]" : "[]" }
