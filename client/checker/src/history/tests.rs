use std::collections::BTreeMap;

use super::*;

fn run() -> Run {
    Run {
        format: Run::FORMAT,
        version: "0.1.0".into(),
        seed: 7,
        command: "lastunit prove --seed 7".into(),
        nodes: vec![1, 2, 3],
        clients: 4,
        seconds: 10,
        faults: vec!["kill".into()],
        started_at: "2026-11-22T12:00:00.000Z".into(),
        settings: Settings::default(),
    }
}

fn call() -> Call {
    Call {
        id: 1,
        client: 2,
        op: Op::Reserve,
        target: None,
        query: BTreeMap::new(),
        stale: false,
        condition: Some(Condition::Version(7)),
        request: Json::parse(r#"{"cart_id":"a","items":[{"sku":"PS5","qty":1}]}"#).unwrap(),
        key: Some("key-1".into()),
        started_us: 5,
        ended_us: 9,
        tries: vec![
            Try { node: 1, started_us: 5, ended_us: 6, came: Came::Lost("reset".into()) },
            Try { node: 2, started_us: 6, ended_us: 9, came: Came::Answer { status: 201, code: None } },
        ],
        outcome: Outcome::Answer(Answer {
            status: 201,
            sequence: Some(3),
            replayed: false,
            applied_index: None,
            body: Json::parse("{\n \"state\": \"held\"\n}").unwrap(),
        }),
    }
}

fn written(history: &History) -> String {
    let mut file = Vec::new();
    history.write(&mut file).unwrap();
    String::from_utf8(file).unwrap()
}

#[test]
fn what_was_written_is_read_again_a_line_for_each_record() {
    let mut history = History::new(run());
    history.add(Record::Call(call()));
    history.add(Record::Fault(Fault {
        from_us: 1,
        until_us: 2,
        fault: "oneway".into(),
        nodes: vec![],
        links: vec![Link { from: 1, to: 2 }],
        hit_leader: true,
        detail: "1 no longer reaches 2".into(),
        fired: true,
    }));
    let text = written(&history);
    assert_eq!(text.lines().count(), 3);
    assert_eq!(History::read(text.as_bytes()).unwrap(), history);
    assert!(text.starts_with(r#"{"kind":"run","#), "{text}");
}

#[test]
fn a_file_that_is_no_history_is_refused_with_its_line() {
    let whole = written(&History::new(run()));
    let table = [
        (String::new(), "the first line is no run"),
        (r#"{"kind":"fault"}"#.to_owned(), "line 1: missing field"),
        (whole.clone() + "{\"kind\":\"rumour\"}\n", "line 2: unknown variant `rumour`"),
        (whole.replace("\"format\":1", "\"format\":2"), "the format is 2, and only 1 is known"),
    ];
    for (text, told) in table {
        let error = History::read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn a_record_that_was_cut_off_is_read_as_far_as_it_goes() {
    let mut history = History::new(run());
    history.add(Record::Call(call()));
    assert!(!history.is_whole());
    history.add(Record::End(End { calls: 1 }));
    assert!(history.is_whole());
    let text = written(&history);
    assert_eq!(History::read(text.as_bytes()).unwrap(), history);
    let cut = History::read(&text.as_bytes()[..text.len() - 5]).unwrap();
    assert!(cut.calls.len() == 1 && !cut.is_whole());
}

#[test]
fn a_body_is_one_line_and_nothing_is_null() {
    assert_eq!(Json::parse("").unwrap(), Json::null());
    assert_eq!(Json::parse("{\n\"a\": 1}").unwrap().text(), r#"{"a":1}"#);
    assert!(Json::parse("{").is_err());
}

#[test]
fn only_a_lost_answer_or_a_server_error_leaves_doubt() {
    let answer = |status| Came::Answer { status, code: None };
    let table = [
        (answer(201), false),
        (answer(409), false),
        (answer(503), false),
        (answer(504), true),
        (answer(500), true),
        (Came::NotSent("refused".into()), false),
        (Came::Lost("reset".into()), true),
    ];
    for (came, doubt) in table {
        let one = Try { node: 1, started_us: 0, ended_us: 1, came };
        assert_eq!(one.leaves_doubt(), doubt, "{one:?}");
    }
}
