//! x
use std::time::Instant;
fn main() {
    let d = "/work/shared/data/";
    let src = [("nvd", "nvd"), ("cvelist", "cvelist")]
        .map(|(n, p)| (n.to_string(), std::path::PathBuf::from(format!("{d}{p}"))))
        .to_vec();
    let got = wardsmith_records::ingest::ingest(&src, 0.01, &|_, _| {}).unwrap();
    let plain: Vec<&str> = got.vulnerabilities.iter().map(|v| v.description.as_str()).collect();
    let masked: Vec<String> = got
        .vulnerabilities
        .iter()
        .map(|v| {
            let names: std::collections::HashSet<String> = v
                .products
                .iter()
                .flat_map(|p| [&p.vendor, &p.product])
                .flat_map(|n| {
                    n.to_lowercase().split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect::<Vec<_>>()
                })
                .filter(|n| n.len() > 1)
                .collect();
            v.description
                .split(|c: char| c.is_whitespace())
                .map(|w| {
                    let l = w.to_lowercase();
                    let l = l.trim_matches(|c: char| !c.is_alphanumeric());
                    if names.contains(l) { "0".to_owned() } else { w.to_owned() }
                })
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let masked: Vec<&str> = masked.iter().map(String::as_str).collect();
    for t in [0.6, 0.7, 0.8, 0.9] {
        for (n, texts) in [("plain", &plain), ("masked", &masked)] {
            let s = Instant::now();
            let g = wardsmith_records::dedup::near_duplicates(texts, t);
            println!("{t} {n} {:.1}s {:?}", s.elapsed().as_secs_f64(), g.counts);
            // the largest group's few texts
            let mut by = std::collections::HashMap::<u32, Vec<usize>>::new();
            for (i, x) in g.groups.iter().enumerate() {
                by.entry(*x).or_default().push(i);
            }
            let mut v: Vec<_> = by.into_values().collect();
            v.sort_by_key(|v| std::cmp::Reverse(v.len()));
            for m in &v[..3] {
                println!("   {}: {:.110} // {:.110}", m.len(), plain[m[0]], plain[m[m.len() - 1]]);
            }
        }
    }
}
