//! Billing as people and as machines read it.

use domain::{FunctionName, MemoryMb, Report, RequestId, Trigger, VersionId};

use super::*;
use crate::api::mayfly::billing::EntryView;

/// A row as the control API writes it.
fn entry(status: Status, error_type: Option<&str>, charge_picousd: u64) -> Entry {
    let view = EntryView::from(&Report {
        request_id: RequestId::new(1_795_364_897_840, [7; 10]),
        attempt: 1,
        function: FunctionName::parse("hello").unwrap(),
        version: VersionId::Latest,
        trigger: Trigger::Http,
        started_at_us: 1_795_364_897_840_123,
        status,
        error_type: error_type.map(str::to_owned),
        init_ns: error_type.map(|_| 12_345_678),
        duration_ns: 1_234_567,
        cpu_ns: 1_000_400,
        billed_ms: 2,
        memory: MemoryMb::DEFAULT,
        memory_used_mb: 3,
        charge_picousd,
    });
    serde_json::from_value(serde_json::to_value(view).unwrap()).unwrap()
}

#[test]
fn the_table_ends_with_the_exact_sum() {
    let entries = [
        entry(Status::Success, None, 204_167),
        entry(Status::Error, Some("Runtime.ExitError"), 1),
    ];
    let id = &entries[0].request_id;
    assert_eq!(
        entries_table(&entries),
        format!(
            "\
STARTED                   FUNCTION  VERSION  TRIGGER  STATUS             INIT MS  DURATION MS  BILLED MS  MEMORY MB  USED MB      CHARGE USD  REQUEST ID
2026-11-22T16:28:17.840Z  hello     $LATEST  http     success                  -         1.24          2        128        3  0.000000204167  {id}
2026-11-22T16:28:17.840Z  hello     $LATEST  http     Runtime.ExitError    12.35         1.24          2        128        3  0.000000000001  {id}

total: 2 invocations, 1 error, 4 ms billed, 0.000000204168 USD
"
        )
    );
    assert_eq!(entries_table(&[]), "no invocations\n");
}

#[test]
fn csv_has_a_header_and_no_rounding() {
    let id = entry(Status::Success, None, 0).request_id;
    assert_eq!(
        entries_csv(&[entry(Status::Timeout, Some("a,b"), 204_167)]),
        format!(
            "request_id,attempt,function,version,trigger,started_at,status,error_type,init_ms,duration_ms,cpu_ms,billed_ms,memory_mb,max_memory_used_mb,charge_picousd\r\n\
             {id},1,hello,$LATEST,http,2026-11-22T16:28:17.840Z,timeout,\"a,b\",12.346,1.235,1.001,2,128,3,204167\r\n"
        )
    );
}

#[test]
fn sums_are_read_as_the_control_api_writes_them() {
    let text = r#"[{"function":"hello","day":"2026-11-22","invocations":3,"errors":1,"billed_ms":12,
        "gb_seconds":"0.0015","charge_picousd":625001,"charge_usd":"0.000000625001"}]"#;
    let sums: Vec<Sum> = serde_json::from_str(text).unwrap();
    assert_eq!(
        sums_table(&sums, Grouping::default()),
        "\
DAY         FUNCTION  INVOCATIONS  ERRORS  BILLED MS  GB-SECONDS      CHARGE USD
2026-11-22  hello               3       1         12      0.0015  0.000000625001

total: 3 invocations, 1 error, 12 ms billed, 0.000000625001 USD
"
    );
    assert_eq!(
        sums_csv(&sums, Grouping::default()),
        "function,day,invocations,errors,billed_ms,gb_seconds,charge_picousd,charge_usd\r\n\
         hello,2026-11-22,3,1,12,0.0015,625001,0.000000625001\r\n"
    );
}
