//! Random choices that can be made again: a test prints its seed, and `GATEPOST_SEED` gives it back.

/// SplitMix64: enough to choose by, and a dozen lines.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// From the environment, else from the system; said aloud, so that a failure can be repeated.
    pub fn for_test(name: &str) -> Self {
        let given = std::env::var("GATEPOST_SEED").ok().map(|text| text.parse().expect("GATEPOST_SEED is a number"));
        let seed = given.unwrap_or_else(|| {
            let mut octets = [0; 8];
            getrandom::fill(&mut octets).unwrap();
            u64::from_ne_bytes(octets)
        });
        println!("{name}: GATEPOST_SEED={seed}");
        Self::new(seed)
    }

    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, not including, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
