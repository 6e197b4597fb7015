use std::path::Path;
use knightwatch::integrations::recording::*;
#[test]
fn probe() {
    for f in ["nezha/2022-08-22-front_service.csv", "petshop/high_traffic", "nab/ec2_request_latency_system_failure.csv"] {
        let t = std::time::Instant::now();
        let r = Recording::load(&Path::new("assets/recordings").join(f), &RecordingOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        println!("{} | {} | {} {} {} {:?}", r.title, r.origin, r.service, r.interval, r.rows.len(), t.elapsed());
        for n in &r.notes { println!("  note {n}"); }
        for s in r.specs() { println!("  {} : {}", s.key, s.description); }
        println!("{:?}", r.cues().iter().map(|c| c.0.to_string()).collect::<Vec<_>>());
    }
}
