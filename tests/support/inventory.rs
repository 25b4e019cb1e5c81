//! What a running process holds, as the kernel tells it under /proc.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// The parts marked with an `Option` are told to root alone, because a sealed process can't be looked into.
#[derive(Debug)]
#[allow(dead_code, reason = "each test looks at its own part")]
pub struct Inventory {
    /// Real, effective, saved and file system user.
    pub users: Vec<u32>,
    pub groups: Vec<u32>,
    /// Inheritable, permitted, effective, bounding, ambient.
    pub capabilities: [u64; 5],
    pub no_new_privs: bool,
    pub filters: u32,
    pub threads: u32,
    /// Soft and hard, in octets.
    pub core_limit: (String, String),
    pub descriptor_limit: (String, String),
    pub root: Option<PathBuf>,
    pub descriptors: Option<BTreeMap<u32, PathBuf>>,
    pub environment: Option<Vec<u8>>,
}

impl Inventory {
    pub fn of(process: u32) -> Self {
        let place = PathBuf::from(format!("/proc/{process}"));
        let status = fs::read_to_string(place.join("status")).unwrap();
        let limits = fs::read_to_string(place.join("limits")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.split(':').next() == Some(name));
            line.unwrap_or_else(|| panic!("no {name} in {status}")).split_once(':').unwrap().1.trim().to_owned()
        };
        let numbers = |name: &str| field(name).split_whitespace().map(|word| word.parse().unwrap()).collect();
        let limit = |name: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let mut words = line.split_whitespace().map(str::to_owned);
            (words.next().unwrap(), words.next().unwrap())
        };
        let descriptors = fs::read_dir(place.join("fd")).ok().map(|entries| {
            let number = |path: PathBuf| path.file_name().unwrap().to_string_lossy().parse().unwrap();
            let open = entries.flatten().map(|entry| entry.path());
            open.filter_map(|path| Some((number(path.clone()), fs::read_link(path).ok()?))).collect()
        });
        Self {
            users: numbers("Uid"),
            groups: numbers("Groups"),
            capabilities: ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
                .map(|name| u64::from_str_radix(&field(name), 16).unwrap()),
            no_new_privs: field("NoNewPrivs") == "1",
            filters: field("Seccomp_filters").parse().unwrap(),
            threads: field("Threads").parse().unwrap(),
            core_limit: limit("Max core file size"),
            descriptor_limit: limit("Max open files"),
            root: fs::read_link(place.join("root")).ok(),
            descriptors,
            environment: fs::read(place.join("environ")).ok(),
        }
    }
}
