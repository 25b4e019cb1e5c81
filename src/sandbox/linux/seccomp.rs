//! The filters: lists of `syscalls` made into programs for the kernel. Two are stacked, because one filter has one answer
//! for what it matches: the first answers EACCES to the soft list, the second kills what it doesn't name. The kernel takes
//! the stricter of the two.

use std::collections::BTreeMap;

use nix::errno::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::sandbox::policy::{Calls, Row};
use crate::sandbox::syscalls::{self, Call, Check};
use crate::sys::seccomp;

const REFUSED: &str = "seccomp filters, which no process may run without";

/// Fails closed and early: before anything is given up, and with a reason that an operator can act on.
pub fn available() -> Result<(), String> {
    match seccomp::can_kill_process() {
        Ok(()) => Ok(()),
        Err(error) => Err(format!(
            "this kernel or container refuses {REFUSED}: {error}; it needs Linux 4.14 with CONFIG_SECCOMP_FILTER"
        )),
    }
}

/// Both filters of a role, for all threads, with what this process may do beside its row.
pub fn close(row: &Row, more: &[Calls]) -> Result<(), String> {
    let (soft, allowed) = lists(row, more);
    install(&soft, SeccompAction::Allow, answer(Errno::EACCES))?;
    install(&allowed, SeccompAction::KillProcess, SeccompAction::Allow)
}

/// What the parent and all below it can never do. Answers instead of kills: its children make their own, stricter filters,
/// and a parent that is killed takes the service with it.
pub fn close_parent() -> Result<(), String> {
    install(syscalls::PARENT, SeccompAction::Allow, answer(Errno::EPERM))?;
    install(syscalls::PARENT_CLONE3, SeccompAction::Allow, answer(Errno::ENOSYS))
}

/// Plays an older kernel to the tests: these calls answer ENOSYS from here on.
#[cfg(debug_assertions)]
pub fn pretend_without(numbers: &[libc::c_long]) -> Result<(), String> {
    let calls: Vec<Call> =
        numbers.iter().map(|number| Call { number: *number, when: &[], why: "an older kernel" }).collect();
    install(&calls, SeccompAction::Allow, answer(Errno::ENOSYS))
}

/// What is answered, and what is let through (which holds the former, or it would kill).
fn lists(row: &Row, more: &[Calls]) -> (Vec<Call>, Vec<Call>) {
    let named: Vec<Call> = row.calls.iter().chain(more).flat_map(|calls| syscalls::set(*calls)).copied().collect();
    let resolves = row.calls.contains(&Calls::Resolve);
    let extra = if resolves { syscalls::SOFT_RESOLVE } else { &[] };
    let soft = syscalls::SOFT.iter().chain(extra).filter(|soft| {
        // A call that the role may make is not answered; where both have conditions, they exclude each other.
        !named.iter().any(|call| call.number == soft.number && (call.when.is_empty() || soft.when.is_empty()))
    });
    let soft: Vec<Call> = soft.copied().collect();
    let allowed = named.into_iter().chain(soft.iter().copied()).collect();
    (soft, allowed)
}

fn answer(errno: Errno) -> SeccompAction {
    SeccompAction::Errno((errno as libc::c_int).cast_unsigned())
}

fn install(calls: &[Call], otherwise: SeccompAction, matched: SeccompAction) -> Result<(), String> {
    let refused = |error: &dyn std::fmt::Display| format!("this kernel refuses {REFUSED}: {error}");
    let program = compile(calls, otherwise, matched).map_err(|error| refused(&error))?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| refused(&error))
}

fn compile(
    calls: &[Call],
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in calls {
        let known = rules.get(&call.number).map(Vec::is_empty);
        if call.when.is_empty() || known == Some(true) {
            rules.insert(call.number, Vec::new()); // always: no condition adds to it
            continue;
        }
        for checks in call.when {
            let conditions = checks.iter().map(condition).collect::<Result<_, _>>()?;
            rules.entry(call.number).or_default().push(SeccompRule::new(conditions)?);
        }
    }
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, otherwise, matched, machine)?.try_into()
}

fn condition(check: &Check) -> Result<SeccompCondition, seccompiler::BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    use SeccompCmpOp::{Eq, MaskedEq};
    match *check {
        Check::Is(argument, value) => SeccompCondition::new(argument, Dword, Eq, value.into()),
        Check::Masked(argument, mask, value) => {
            SeccompCondition::new(argument, Dword, MaskedEq(mask.into()), value.into())
        }
        Check::Null(argument) => SeccompCondition::new(argument, Qword, Eq, 0),
        Check::Own(argument) => SeccompCondition::new(argument, Dword, Eq, std::process::id().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::policy;

    /// The kernel takes no longer programs.
    const MAX_PROGRAM: usize = 4096;

    #[test]
    fn every_role_has_two_filters_that_fit() {
        for row in &policy::TABLE {
            let (soft, allowed) = lists(row, &[]);
            for calls in [soft, allowed] {
                let program = compile(&calls, SeccompAction::KillProcess, SeccompAction::Allow).unwrap();
                assert!((20..MAX_PROGRAM).contains(&program.len()), "{}: {}", row.role, program.len());
            }
        }
        for calls in [syscalls::PARENT, syscalls::PARENT_CLONE3] {
            assert!(compile(calls, SeccompAction::Allow, SeccompAction::KillProcess).unwrap().len() < MAX_PROGRAM);
        }
    }

    #[test]
    fn what_a_role_may_do_is_not_answered_softly() {
        let vault = policy::of(crate::role::Role::Vault).unwrap();
        let (soft, allowed) = lists(vault, &[]);
        assert!(soft.iter().all(|call| call.number != libc::SYS_openat));
        assert!(soft.iter().all(|call| allowed.iter().any(|other| other.number == call.number)));
        let edge = policy::of(crate::role::Role::EdgeSmtp).unwrap();
        assert!(lists(edge, &[]).0.iter().any(|call| call.number == libc::SYS_openat));
    }
}
