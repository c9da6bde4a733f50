#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: what documents say of the code can be found in the code, and the reverse.
#
# Tables, a line a thing: a new program, library symbol, configuration key, control word, record or
# counter fails here until its document knows it.
set -eu
LC_ALL=C
export LC_ALL
: "${top_srcdir:?set by make check}"
cd "$top_srcdir"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0

# result CLAIM OFFENDERS: one line of TAP, and what broke the claim
result() {
        n=$((n + 1))
        if [ -z "$2" ]; then
                echo "ok $n - $1"
        else
                echo "not ok $n - $1"
                printf '%s\n' "$2" | sed 's/^/#   /'
        fi
}

# same CLAIM A B: the files A and B, sorted words in lines, are equal, and not empty
same() {
        if [ ! -s "$2" ]; then
                result "$1" 'nothing was found to compare'
        else
                result "$1" "$(diff "$2" "$3" || true)"
        fi
}

# within CLAIM A B: every line of A, at least one, stands in B
within() {
        if [ ! -s "$2" ]; then
                result "$1" 'nothing was found to compare'
        else
                result "$1" "$(comm -23 "$2" "$3")"
        fi
}

# Manual pages

if command -v mandoc >/dev/null; then
        result 'mandoc finds nothing in the pages' \
                "$(find man -name '*.[1-9]' | sort | xargs mandoc -T lint -W warning 2>&1 || true)"
else
        n=$((n + 1))
        echo "ok $n - mandoc finds nothing in the pages # SKIP needs mandoc"
fi

# Every word of --help that is an option, wherever it stands.
help_options() {
        "$1" --help | grep -oE '(^|[][ ,(])--?[A-Za-z][A-Za-z-]*' | grep -oE -- '-.*' | sort -u
}

# ".It Fl S , Fl Fl socket Ar PATH" or ".It Fl S , -socket Ar PATH": what stands behind Fl
page_options() {
        awk '$1 == ".It" && $2 == "Fl" {
                dashes = ""
                for (i = 2; i <= NF && ($i == "Fl" || $i == "," || $i !~ /^[A-Z][a-z]$/); i++)
                        if ($i == "Fl")
                                dashes = dashes "-"
                        else if ($i != ",") {
                                print (dashes == "" ? "-" : dashes) $i
                                dashes = ""
                        }
        }' "$1" | sort -u
}

# Verbs stand in --help between the first empty line and the options.
help_verbs() {
        "$1" --help | awk '/^$/ { part++ } part == 1 && /^  [a-z]/ { print $1 }' | sort
}

page_verbs() {
        awk '$1 == ".It" && $2 == "Cm" { print $3 }' "$1" | sort
}

# completed PROGRAM WORD: what is offered for WORD, a line each
completed() {
        # shellcheck disable=SC2016 # the inner shell's words
        bash --norc --noprofile -c '
                source "tools/completion/$1"
                COMP_WORDS=("$1" "$2") COMP_CWORD=1 COMPREPLY=()
                "_${1//-/_}" 2>/dev/null
                printf "%s\n" "${COMPREPLY[@]}"' bash "$1" "$2" | sort
}

# PROGRAM SECTION WHAT-ELSE: "completion", "verbs"
while read -r program section more; do
        page=man/$program.$section
        help_options "$program" >"$work/help"
        page_options "$page" >"$work/page"
        same "$program --help and $page have the same options" "$work/help" "$work/page"

        case $more in *completion*)
                completed "$program" - >"$work/completion"
                same "$program --help and its completion have the same options" \
                        "$work/help" "$work/completion"
                ;;
        esac
        case $more in *verbs*)
                help_verbs "$program" >"$work/help"
                page_verbs "$page" >"$work/page"
                completed "$program" '' >"$work/completion"
                same "$program --help and $page have the same verbs" "$work/help" "$work/page"
                same "$program --help and its completion have the same verbs" \
                        "$work/help" "$work/completion"
                ;;
        esac
done <<END
p2pbusd 8
p2pbus-bridge 8
p2pbus-relay 8
p2pbus-send 1 completion
p2pbus-recv 1 completion
p2pbus-monitor 1 completion
p2pbus-procbridge 1 completion
p2pbusctl 1 completion verbs
END

# Every page that another one sends its reader to is there.
find man -name '*.[1-9]' | sed 's|.*/||' | sort >"$work/pages"
cat man/*.3 | awk '/^\.Sh NAME/ { name = 1 } /^\.Nd/ { name = 0 }
        name && $1 == ".Nm" { print $2 ".3" }' | sort -u "$work/pages" - >"$work/all-pages"
cat man/*.[1-9] | awk '$1 == ".Xr" && ($2 ~ /^p2pbus/ || $2 ~ /^libp2pbus/ || $2 ~ /\.conf$/) {
        print $2 "." $3 }' | sort -u >"$work/references"
within 'every page of ours that a page refers to exists' "$work/references" "$work/all-pages"

# Pages of programs have the sections that their readers look for.
for page in man/*.[18]; do
        missing=
        for section in ENVIRONMENT FILES 'EXIT STATUS' EXAMPLES SECURITY 'SEE ALSO'; do
                grep -qx "\.Sh $section" "$page" || missing="$missing $section;"
        done
        result "$page has all sections" "$missing"
done

# The library

sed -nE 's/^ +(p2pbus_[a-z0-9_]+);$/\1/p' libclient/libp2pbus.sym libcall/libp2pbus-call.sym | sort >"$work/symbols"
grep -hE '^\.Nm p2pbus_' man/*.3 | awk '{ print $2 }' | sort -u >"$work/page"
same 'every symbol of the library has a page of section 3, and the reverse' \
        "$work/symbols" "$work/page"

grep -oE 'P2PBUS_[A-Z0-9_]+' libclient/p2pbus.h libclient/p2pbus-sd-event.h libcall/p2pbus-call.h -h | sort -u >"$work/header"
grep -hvE '^\.(Ev|Dt|It Ev)' man/*.3 | grep -oE 'P2PBUS_[A-Z0-9_]+' | sort -u >"$work/page"
within 'every constant in section 3 stands in a public header' "$work/page" "$work/header"

grep -ohE -- '-E[A-Z0-9]{3,}' libclient/p2pbus.h libclient/p2pbus-sd-event.h libcall/p2pbus-call.h | sort -u >"$work/header"
grep -hoE '(Er |\W)-E[A-Z0-9]{3,}' man/*.3 | grep -oE -- '-E[A-Z0-9]+' | sort -u >"$work/page"
within 'every error in section 3 stands in a public header' "$work/page" "$work/header"

# "FUNCTION -ERROR" for each error that the comment above a declaration names.
awk '/^\/\*/ { comment = "" } { comment = comment "\n" $0 }
        /^[a-z][^(]*p2pbus_[a-z_]+\(/ {
                match($0, /p2pbus_[a-z_]+\(/)
                name = substr($0, RSTART, RLENGTH - 1)
                while (match(comment, /-E[A-Z0-9][A-Z0-9]+/)) {
                        print name, substr(comment, RSTART, RLENGTH)
                        comment = substr(comment, RSTART + RLENGTH)
                }
        }' libclient/p2pbus.h libcall/p2pbus-call.h | sort -u >"$work/header"
for page in man/*.3; do
        awk '$1 == ".Nm" { name = $2 } $1 == ".Nm" && name ~ /^p2pbus_/ { names[++n] = name }
                { while (match($0, /-E[A-Z0-9][A-Z0-9]+/)) {
                        errors[++m] = substr($0, RSTART, RLENGTH)
                        $0 = substr($0, RSTART + RLENGTH) } }
                END { for (i = 1; i <= n; i++) for (k = 1; k <= m; k++) print names[i], errors[k] }' "$page"
done | sort -u >"$work/page"
within 'every error that a public header names for a function stands in its page' "$work/header" "$work/page"

# Reasons below 100 are the codes of the protocol.
sed -nE 's/^ +P2PBUS_REASON_([A-Z_]+) = ([1-9][0-9]?),.*/\1 \2/p' libclient/p2pbus.h | sort >"$work/header"
sed -nE 's/^ +CODE_([A-Z_]+) = ([0-9]+),.*/\1 \2/p' libcore/control.h | sort >"$work/code"
within 'reasons of the library are codes of the protocol' "$work/header" "$work/code"

# Configuration

# CODE PAGE EXAMPLE
while read -r code page example; do
        tr '\n' ' ' <"$code" | grep -oE '\{ *"[A-Z][a-z]*", *"[A-Za-z]+", *(conf_)?parse_' |
                grep -oE '"[A-Za-z]+", *(conf_)?parse' | grep -oE '^"[A-Za-z]+' | tr -d '"' |
                sort >"$work/code"
        sed -nE 's/^\.It Ic ([A-Za-z]+)=.*/\1/p' "$page" | sort >"$work/page"
        same "$code and $page have the same keys" "$work/code" "$work/page"
        # A list may be given twice in an example, and two sections may have a key of one name.
        awk '/^\[/ { section = $0 } /^#?[A-Z][A-Za-z]*=/ { print section, $0 }' "$example" |
                sed -E 's/^(\[[A-Za-z]*\]) #?([A-Za-z]+)=.*/\1 \2/' | sort -u | sed 's/.* //' |
                sort >"$work/page"
        same "$code and $example have the same keys" "$work/code" "$work/page"
done <<END
daemon/settings.c man/p2pbusd.conf.5 daemon/p2pbusd.conf
bridge/settings.c man/bridge.conf.5 bridge/bridge.conf
relay/settings.c man/relay.conf.5 relay/relay.conf
END

# A policy has no example with all keys: its page alone knows them.
tr '\n' ' ' <daemon/policy-book.c | grep -oE '\{ *"[A-Z][a-z]*", *"[A-Za-z]+", *parse_' |
        grep -oE '"[A-Za-z]+", *parse' | grep -oE '^"[A-Za-z]+' | tr -d '"' | sort >"$work/code"
sed -nE 's/^\.It Ic ([A-Za-z]+)=.*/\1/p' man/p2pbus.policy.5 | sort >"$work/page"
same 'daemon/policy-book.c and man/p2pbus.policy.5 have the same keys' "$work/code" "$work/page"

# The examples show defaults: "#Key=64M" there, "Default: 64M." or "Default: 0, which is ..." in the page.
page_defaults() {
        awk '/^\.It Ic/ { key = $3; sub(/=.*/, "", key) }
                /^Default: [0-9]/ { sub(/[.,]$/, "", $2); print key "=" $2 }' "$1" | sort
}

for file in daemon/p2pbusd.conf bridge/bridge.conf relay/relay.conf; do
        page_defaults "man/${file##*/}.5" >"$work/page"
        sed -nE 's/^#([A-Z][A-Za-z]*=[0-9].*)/\1/p' "$file" | sort >"$work/example"
        same "${file##*/}(5) and $file have the same defaults" "$work/example" "$work/page"
done

# code_defaults SETTINGS.C: "Key=5s" for each key that is a time, of the field that the table names, and what
# it is set to before a file is read: 0, or N seconds in a header. (Of p2pbusd, p2pbusctl show-config tells.)
code_defaults() {
        settings=$(tr '\n' ' ' <"$1")
        printf '%s\n' "$settings" | grep -oE '"[A-Za-z]+", *conf_parse_time, *offsetof\(Settings, [a-z_]+\)' |
                sed -E 's/"([A-Za-z]+)".*, ([a-z_]+)\)/\1 \2/' |
                while read -r key field; do
                        constant=$(printf '%s\n' "$settings" | sed -nE "s/.*\.$field = ([A-Z_]+)[ ,].*/\1/p")
                        value=0
                        [ -z "$constant" ] ||
                                value=$(cat "${1%/*}"/*.h | sed -nE "s/^#define $constant \(([0-9]+) \* USEC_PER_SEC\)\$/\1s/p")
                        echo "$key=$value"
                done
}

code_defaults bridge/settings.c | sort >"$work/code"
page_defaults man/bridge.conf.5 >"$work/page"
same 'times of bridge.conf(5) are by default what the code says' "$work/code" "$work/page"
{
        code_defaults relay/settings.c
        sed -nE 's/^#define SETTINGS_LISTEN_DEFAULT "(.*)"/Listen=\1/p' relay/settings.h
} | sort >"$work/code"
page_defaults man/relay.conf.5 >"$work/page"
same 'times and addresses of relay.conf(5) are by default what the code says' "$work/code" "$work/page"

# Counters and reasons

tr '\n' ' ' <relay/counters.c | grep -oE '\[COUNT_[A-Z_]+\] *= *\{ *"[a-z_]+"' | grep -oE '"[a-z_]+"' |
        tr -d '"' | sort >"$work/code"
awk '/^\.Sh HTTP/ { here = 1 } /^\.Sh ENV/ { here = 0 } here && $1 == ".It" && $3 ~ /^[a-z_]+$/ {
        print $3 }' man/p2pbus-relay.8 | sort >"$work/page"
same 'every counter of the relay stands in its page, and the reverse' "$work/code" "$work/page"

grep -oE 'fprintf\(out, "[^"]*"' daemon/query.c | grep -oE '("|\\n)[a-z_]+\\t' |
        sed -E 's/^("|\\n)//; s/\\t$//' | sort >"$work/code"
awk '$1 == ".It" && $2 == "Cm" { for (i = 3; i <= NF; i++) if ($i != ",") print $i }' \
        man/p2pbusd.8 | sort >"$work/page"
same 'every line of the status of p2pbusd stands in its page, and the reverse' \
        "$work/code" "$work/page"

# Reasons are the words that stand alone in a string, between other arguments.
cat daemon/*.c | tr '\n' ' ' | grep -oE '(peer_(refuse|log)\([^;"]*|reason = )"[a-z_]+"' |
        grep -oE '"[a-z_]+"$' | tr -d '"' | sort -u >"$work/code"
awk '/P2PBUS_REASON$/ { here = 1 } here && $1 == ".It" && NF == 3 { print $3 }' man/p2pbusd.8 |
        grep -v P2PBUS_ | sort >"$work/page"
same 'every P2PBUS_REASON of p2pbusd stands in its page, and the reverse' "$work/code" "$work/page"

# The protocol

# numbers ENUM-PREFIX HEADER: "NAME NUMBER", without those that begin with an underscore
numbers() {
        sed -nE "s/^ +$1([A-Z_]+) = ([0-9]+),.*/\1 \2/p" "$2" | sort
}

# Tables of PROTOCOL.md in which the number is the second column.
sed -nE 's/^\| ([A-Z_]+) \| ([0-9]+) \|.*/\1 \2/p' PROTOCOL.md | sort >"$work/table"
numbers CONTROL_ libcore/control.h >"$work/verbs"
numbers RECORD_ libcore/record.h >"$work/records"
sort "$work/verbs" "$work/records" >"$work/code"
same 'control verbs and records have the same numbers in PROTOCOL.md' "$work/code" "$work/table"

# The table of codes has two of them in a line.
awk '/^\| code \|.*\| code \|/ { here = 1 } /^$/ { here = 0 } here' PROTOCOL.md |
        grep -oE '\| [0-9]+ \| [A-Z_]+' | awk '{ print $4, $2 }' | sort >"$work/table"
numbers CODE_ libcore/control.h >"$work/code"
same 'control codes have the same numbers in PROTOCOL.md' "$work/code" "$work/table"

sed -nE 's/^NACK codes: (.*)/\1/p' PROTOCOL.md | tr ',' '\n' | sed -nE 's/^ *([0-9]+) ([A-Z_]+)\.?$/\2 \1/p' |
        sort >"$work/table"
numbers NACK_ libsecure/signed-answer.h >"$work/code"
same 'NACK codes have the same numbers in PROTOCOL.md' "$work/code" "$work/table"

grep -E '^\| 0 \| 1 \| rtype' PROTOCOL.md | grep -oE '[0-9]+ [A-Z]+' | awk '{ print $2, $1 }' |
        sort >"$work/table"
numbers SIGNED_RECORD_ libsecure/signed-record.h >"$work/code"
same 'signed records have the same numbers in PROTOCOL.md' "$work/code" "$work/table"

# Limits whose name in the code stands beside them.
# shellcheck disable=SC2016 # backquotes of Markdown
grep -oE '^\| [^|]*\| [0-9,]+[^|]*\| `[A-Z_]+` \|' PROTOCOL.md | tr -d ,\` |
        sed -E 's/^\| [^|]*\| ([0-9]+)[^|]*\| ([A-Z_]+).*/\2 \1/' | sort >"$work/table"
grep -hoE '^#define [A-Z_]+ [0-9]+( |$)' libcore/*.h | awk '{ print $2, $3 }' | sort >"$work/code"
within 'limits of PROTOCOL.md are those of the code' "$work/table" "$work/code"

# Annotated dumps: "    <hex, blanks>   what it is" below "`tests/vectors/wire/NAME.hex`".
awk '/^`tests\/vectors\/wire\/[a-z0-9-]+\.hex`/ { split($0, part, "`"); file = part[2]; print "== " file }
        /^#/ { file = "" }
        file != "" && /^    [0-9a-f][0-9a-f]/ {
                line = substr($0, 5)
                sub(/  .*/, "", line)
                gsub(/ /, "", line)
                print line
        }' PROTOCOL.md >"$work/dumps"
: >"$work/differences"
sed -n 's/^== //p' "$work/dumps" | while read -r file; do
        awk -v "file=$file" '/^== / { here = $2 == file; next } here' "$work/dumps" |
                tr -d '\n' >"$work/quoted"
        if [ ! -r "$file" ]; then
                echo "$file: is not there" >>"$work/differences"
        elif ! sed 's/#.*//' "$file" | tr -d ' \t\n' | cmp -s - "$work/quoted"; then
                echo "$file: PROTOCOL.md quotes other bytes" >>"$work/differences"
        fi
done
[ -s "$work/dumps" ] || echo 'no dump was found' >>"$work/differences"
result 'dumps in PROTOCOL.md are those of tests/vectors/wire' "$(cat "$work/differences")"

# Files

# Files and folders named in backquotes or links, but no commands and no patterns.
# shellcheck disable=SC2016 # backquotes of Markdown
for document in README.md DESIGN.md PROTOCOL.md HACKING.md; do
        missing=$(grep -oE '`[A-Za-z0-9_.-]+/[A-Za-z0-9_./-]*`|\]\([A-Za-z0-9_./-]+\)|[a-z]+/[a-z0-9-]+\.[ch]' \
                        "$document" |
                tr -d '`]()' | grep -vE '^build|\.log$' | sort -u |
                while read -r file; do
                        [ -e "$file" ] || echo "$file"
                done)
        result "every file that $document names exists" "$missing"
done

# Each program's main.c lists its files: those of the folder.
# The file is the first word of a line of the list, with or without " -- ".
for folder in daemon bridge relay procbridge; do
        sed -nE '/Code structure/,/\*\//s/^ \* +([a-z0-9-]+\.[ch]) .*/\1/p' "$folder/main.c" |
                sed 's/\.[ch]$//' | sort -u >"$work/list"
        find "$folder" -name '*.c' | sed 's|.*/||; s/\.c$//' | sort >"$work/files"
        within "$folder/main.c lists every file of its folder" "$work/files" "$work/list"
        find "$folder" -name '*.[ch]' | sed 's|.*/||; s/\.[ch]$//' | sort -u >"$work/files"
        within "$folder/main.c lists only files of its folder" "$work/list" "$work/files"
done

# Each tool's head lists some of the files that they share.
sed -nE '/Code structure/,/\*\//s/^ \* +([a-z0-9-]+\.[ch]) .*/\1/p' tools/*.c | sort -u >"$work/list"
find tools -name '*.c' | sed 's|.*/||' | sort >"$work/files"
within 'heads of the tools list only files of their folder' "$work/list" "$work/files"

# The maps of README.md and DESIGN.md, folder by folder.
find . -mindepth 2 -maxdepth 2 -name local.mk | cut -d/ -f2 | sort >"$work/folders"
sed -nE '/^## Where things are/,/^Read next/p' README.md | grep -oE '\]\([a-z]+\)' | tr -d ']()' |
        sort >"$work/list"
same 'README.md has a line for each folder' "$work/folders" "$work/list"
sed -nE '/^## Layers/,/^## The life/s/^\| ([a-z]+) \|.*/\1/p' DESIGN.md | grep -v folder |
        sort >"$work/list"
within 'DESIGN.md says of its folders who may include whom' "$work/list" "$work/folders"

echo "1..$n"
