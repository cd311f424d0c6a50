//! The load generator against a server of its own that answers as told.

use std::net::TcpListener;

use super::*;

/// Answers each request of each connection with what `answer` makes of its number (of that
/// connection, from 0); none closes the connection.
fn server(answer: fn(usize) -> Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 1_024];
                for number in 0.. {
                    // One request is outstanding at a time and is sent in one piece.
                    match stream.read(&mut request) {
                        Ok(0) | Err(_) => return,
                        Ok(_) => {}
                    }
                    let Some(answer) = answer(number) else { return };
                    for piece in answer.split_inclusive('!') {
                        stream.write_all(piece.as_bytes()).unwrap();
                    }
                }
            });
        }
    });
    address
}

fn hello() -> Exchange {
    Exchange::post("/", "{}", "hi!")
}

const HI: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi!";

/// `!` ends what is sent in one piece.
const HI_IN_PIECES: &str = "HTTP/1.1 200 OK\r\nx: !\r\ncontent-length: 3\r\n\r\nhi!";

#[test]
fn every_request_of_a_closed_loop_is_answered_and_counted() {
    let mut load = Load::connect(server(|_| Some(HI_IN_PIECES)), 4, hello()).unwrap();
    let duration = Duration::from_millis(50);
    let first = load.closed(duration).unwrap();
    assert!(first.requests >= 4);
    assert!(first.elapsed >= duration);
    assert_eq!(first.latency_ns.len(), first.requests);
    assert!(first.busy > Duration::ZERO);
    // The connections are as good as new.
    assert!(load.closed(duration).unwrap().requests >= 4);
}

#[test]
fn a_paced_load_sends_what_is_due_and_no_more() {
    let mut load = Load::connect(server(|_| Some(HI)), 2, hello()).unwrap();
    let duration = Duration::from_millis(200);
    let measured = load.paced(duration, 1_000.0).unwrap();
    // The sequence of gaps is fixed, however slow the machine.
    let mut arrivals = Arrivals::new(Instant::now(), duration, 1_000.0);
    let far = Instant::now() + PATIENCE;
    let due = std::iter::from_fn(|| arrivals.next_if_due(far)).count();
    assert_eq!(measured.requests, u64::try_from(due).unwrap());
}

#[test]
fn a_wrong_answer_ends_the_run() {
    let wrong = |number| {
        Some(if number < 3 {
            HI
        } else {
            "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"
        })
    };
    let mut load = Load::connect(server(wrong), 2, hello()).unwrap();
    let error = load.closed(Duration::from_secs(60)).unwrap_err();
    assert_eq!(error.to_string(), "a wrong answer: status 500, body ``");
}

#[test]
fn a_connection_that_is_closed_ends_the_run() {
    let mut load = Load::connect(server(|number| (number < 3).then_some(HI)), 2, hello()).unwrap();
    let error = load.closed(Duration::from_secs(60)).unwrap_err();
    assert_eq!(error.to_string(), "the server closed a connection");
}
