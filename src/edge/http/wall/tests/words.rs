//! In whose words a flawed head is answered.

use super::through;

#[test]
fn the_path_that_a_flawed_head_asks_for_is_told_as_far_as_it_can_be() {
    let long = format!("GET /emails/{} HTTP/1.1\r\n", "x".repeat(70_000));
    for (octets, path) in [
        ("POST /emails HTTP/1.1\r\n\r\n", "/emails"),
        ("POST /emails?a=/b HTTP/1.1\r\nHost: g\r\nContent-Length: x\r\n\r\n", "/emails"),
        ("GET http://g/email HTTP/1.1\r\nHost: h\r\n\r\n", "/email"),
        ("GET http://g HTTP/1.1\r\nHost: h\r\n\r\n", ""),
        ("POST /emails HTTP/1.1\nHost", "/emails"),
        ("POST /emails HTTP/1.1\r\nX: \0", "/emails"),
        ("POST\r\n\r\n", ""),
        ("\x16\x03", ""),
    ] {
        assert_eq!(through(octets.as_bytes(), usize::MAX).1.unwrap().path, path, "{octets:?}");
    }
    assert!(through(long.as_bytes(), 64).1.unwrap().path.starts_with("/emails/x"));
}
