//! The names.

use std::collections::BTreeSet;

use crate::natbox::{PRESETS, preset};

#[test]
fn names_are_unique_and_found() {
    let names: BTreeSet<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    assert_eq!(names.len(), PRESETS.len());
    for known in PRESETS {
        assert_eq!(preset(known.name), Some(known.config));
    }
    assert_eq!(preset("none"), None);
}

#[cfg(target_os = "linux")]
#[test]
fn every_kernel_nat_of_the_lab_has_a_box() {
    for kind in crate::lab::nat::KINDS {
        assert!(preset(kind.name).is_some(), "{}", kind.name);
    }
}
