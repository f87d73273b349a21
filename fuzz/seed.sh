#!/bin/sh
# First inputs for the fuzz targets: the fixtures of the crates, copied into corpus/NAME, and each line of JSON Lines
# by itself. Corpora are never committed.
set -eu
cd "$(dirname "$0")"

seed() {
    name=$1
    mkdir -p "corpus/$name"
    shift
    for file; do
        cp "../crates/records/fixtures/$file" "corpus/$name/"
        case $file in
            *.jsonl) (cd "corpus/$name" && split -l 1 "$file" "$file-") ;;
        esac
    done
}

seed nvd nvd-feed-1.1.json nvd-api-2.0.json
seed cvelist cve-records-5.jsonl
seed cwe cwe.xml
seed capec capec-stix-2.1.json capec.xml
seed attack attack-stix-2.1.json
seed kev kev.json kev.csv
seed epss epss.csv
seed osv osv.jsonl
seed csaf csaf-2.0.json csaf-2.1.json
seed certcc certcc-vu.jsonl certcc-vince.json
seed sigma sigma-rules.yml
seed tram tram-single-label.json tram-report.json
seed sven sven.jsonl

# The first byte says which ending the document's name has.
mkdir -p corpus/documents
for kind in 0 1 2 3 4 5 6 7; do
    { printf "\\00$kind"; cat ../crates/records/fixtures/kettle-guide.md; } >"corpus/documents/kettle-guide-$kind"
done
