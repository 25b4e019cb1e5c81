//! The name that a process shows to `ps` and `top`.

/// Shows the process as `name`. On Linux this is the short name (15 octets); the command line is what the parent started
/// it with. A refusal is no reason to stop: it is only a name.
#[cfg(target_os = "linux")]
pub fn set(name: &str) {
    let bytes: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(15).collect();
    if let Ok(name) = std::ffi::CString::new(bytes) {
        // The kernel cuts at 15 octets as well; there is nobody to tell when it refuses.
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// Shows the process as `program: name`.
#[cfg(target_os = "openbsd")]
pub fn set(name: &str) {
    let bytes: Vec<u8> = name.bytes().filter(|byte| *byte != 0).collect();
    if let Ok(name) = std::ffi::CString::new(bytes) {
        // SAFETY: the format takes one string, and both strings end with NUL and outlive the call, which copies them.
        unsafe { libc::setproctitle(c"%s".as_ptr(), name.as_ptr()) };
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_long_name_is_cut_and_not_refused() {
        std::thread::spawn(|| {
            super::set("gatepost-listener-of-the-inner-zone");
            assert_eq!(nix::sys::prctl::get_name().unwrap().as_c_str(), c"gatepost-listen");
        })
        .join()
        .unwrap();
    }
}
