//! A look at the fixture of the released formats: whole, damaged in every file, and never changed by it.
//!
//! Each damaged copy is looked at and then opened as a node opens it: the two must agree.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storage::log::{Entry, Vote};
use tempfile::TempDir;

use super::*;
use crate::{GroupOptions, Member, Tuning};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../storage/tests/fixtures/v1/data");

fn fixture() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(Path::new(FIXTURE), copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_into(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn look(dir: &Path) -> Result<Inspection, StorageError> {
    let scratch = tempfile::tempdir().unwrap();
    inspect(dir, scratch.path())
}

/// Opens the directory as a node does: what it would have applied at the end of its log, or why not.
fn start(dir: &Path) -> Result<(u64, u64), crate::StartError> {
    let member = |id| Member { id, http: format!("h{id}"), raft: format!("r{id}") };
    let day = std::time::Duration::from_secs(86_400);
    let options = GroupOptions {
        cluster_name: "lastunit-fixture".into(),
        node_id: 1,
        members: [1, 2, 3].map(member).to_vec(),
        data_dir: dir.to_path_buf(),
        retention: day,
        idempotency_retention: day,
        max_hold: day,
        events_retention: day,
        events_max: 128,
        limits: crate::HoldLimits::NONE,
        rates: crate::RateLimits::default(),
        tuning: Tuning { segment_bytes: 4096, ..Tuning::default() },
    };
    let mut store = open::open(Arc::new(RealDisk), &options)?;
    let state = store.log.state();
    let first = store.applied.position.map_or(0, |applied| applied.index + 1).max(state.first);
    let entries = store.log.read(first..state.last.map_or(0, |last| last.index + 1), usize::MAX)?;
    for entry in entries {
        apply(&mut store.applied.inventory, &entry);
    }
    Ok((state.last.map_or(0, |last| last.index), store.applied.inventory.state_digest()))
}

fn apply(inventory: &mut storage::inventory::Inventory, entry: &Entry) {
    if let openraft::EntryPayload::Normal(proposal) = codec::decode_payload(entry.payload.clone()).unwrap() {
        let batch = codec::decode_batch(&proposal).unwrap();
        for request in &batch.requests {
            inventory.apply(&batch.stamp, request);
        }
    }
}

/// Every name below a directory, with what changes when somebody writes there: content, length, time.
fn traces(dir: &Path) -> BTreeMap<PathBuf, (Option<Vec<u8>>, u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::metadata(&path).unwrap();
        let content = metadata.is_file().then(|| fs::read(&path).unwrap());
        found.insert(path.clone(), (content, metadata.len(), metadata.modified().unwrap()));
        if metadata.is_dir() {
            found.extend(traces(&path));
        }
    }
    let own = fs::metadata(dir).unwrap();
    found.insert(dir.to_path_buf(), (None, own.len(), own.modified().unwrap()));
    found
}

#[test]
fn a_whole_directory_is_told_with_every_figure() {
    let dir = fixture();
    let inspection = look(dir.path()).unwrap();
    let report = &inspection.report;
    assert_eq!((report.verdict, report.starts), (Verdict::Whole, true), "{report:#?}");
    assert_eq!((&report.damages[..], &report.unreadable[..], &report.notes[..]), (&[][..], &[][..], &[][..]));
    let identity = report.identity.as_ref().unwrap();
    assert_eq!((identity.cluster.as_str(), identity.node_id), ("lastunit-fixture", 1));
    let log = report.log.as_ref().unwrap();
    let last = Position { term: 2, leader: 2, index: 47 };
    assert_eq!((log.first, log.last, log.entries, log.commands), (24, Some(last), 24, 23));
    assert_eq!(log.vote, Some(VoteReport { term: 2, node: 2, committed: true }));
    assert_eq!(log.committed.map(|committed| committed.index), Some(46));
    assert_eq!((log.sessions, log.sealed_group), (2, Some(log.last_group)));
    assert!(
        log.segments.iter().any(|segment| segment.counts)
            && log.segments.iter().any(|segment| !segment.counts)
    );
    let checkpoint = report.checkpoint.as_ref().unwrap();
    let image = checkpoint.content.as_ref().unwrap();
    assert_eq!((checkpoint.image, checkpoint.skus), (Some(1), Some(2)));
    assert_eq!((image.applied.map(|applied| applied.index), image.members.len()), (Some(30), 3));
    let [snapshot] = &report.snapshots[..] else { panic!("{:?}", report.snapshots) };
    assert_eq!(snapshot.content.as_ref().unwrap().applied.map(|applied| applied.index), Some(24));
}

#[test]
fn entries_are_told_in_words() {
    let dir = fixture();
    let inspection = look(dir.path()).unwrap();
    let all: Vec<EntryWords> = inspection.entries(0, u64::MAX).collect::<Result<_, _>>().unwrap();
    assert_eq!(all.iter().map(|entry| entry.index).collect::<Vec<_>>(), (24..=47).collect::<Vec<_>>());
    assert_eq!(all[1].content, Content::Blank);
    let [entry] = &inspection.entries(26, 26).collect::<Result<Vec<_>, _>>().unwrap()[..] else {
        panic!("not one entry")
    };
    let Content::Commands { stamp, commands } = &entry.content else { panic!("{entry:?}") };
    assert_eq!((entry.term, entry.leader, stamp.now_ms), (2, 2, 1_790_000_026_000));
    let cart = format!("cart-of-entry-26-{}", "x".repeat(60));
    let told = commands[0].to_string();
    assert!(
        told.starts_with(&format!(
            "reserve cart_id={cart} customer_id=customer-26 items=PS5:1 ttl_ms=300000"
        )),
        "{told}"
    );
    assert!(told.ends_with(" idempotency_key=key-26"), "{told}");
    assert_eq!(inspection.entries(48, 50).count() + inspection.entries(3, 2).count(), 0);
}

#[test]
fn a_look_changes_nothing_not_even_the_lock() {
    for has_lock in [true, false] {
        let dir = fixture();
        if !has_lock {
            fs::remove_file(dir.path().join("lock")).unwrap();
            fs::remove_file(dir.path().join("checkpoint/lock")).unwrap();
        }
        let before = traces(dir.path());
        let inspection = look(dir.path()).unwrap();
        assert_eq!(inspection.report.verdict, Verdict::Whole);
        assert_eq!(inspection.entries(0, u64::MAX).count(), 24);
        drop(inspection);
        assert!(traces(dir.path()) == before, "has a lock: {has_lock}");
    }
}

#[test]
fn a_directory_in_use_is_refused_and_two_may_look() {
    let dir = fixture();
    let first = look(dir.path()).unwrap();
    let second = look(dir.path()).unwrap();
    let refused = start(dir.path()).err().unwrap().to_string();
    assert!(refused.contains("in use"), "{refused}");
    drop((first, second));
    let held = fs::File::open(dir.path().join("lock")).unwrap();
    held.try_lock().unwrap();
    let refused = look(dir.path()).err().unwrap().to_string();
    assert!(refused.contains("in use") && !refused.contains('\n'), "{refused}");
}

#[test]
fn what_is_no_nodes_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(look(&dir.path().join("none")), Err(StorageError::Io { .. })));
    for name in ["lost+found", "notes.txt"] {
        let refused = look(dir.path()).err().unwrap().to_string();
        assert!(refused.contains("not the directory of a node"), "{refused}");
        fs::write(dir.path().join(name), "").unwrap();
    }
}

/// The files of the fixture, below it.
fn files() -> Vec<PathBuf> {
    let root = Path::new(FIXTURE);
    let found = traces(root)
        .into_iter()
        .filter(|(_, (content, ..))| content.as_ref().is_some_and(|it| !it.is_empty()));
    found.map(|(path, _)| path.strip_prefix(root).unwrap().to_path_buf()).collect()
}

/// What was seen over many damages.
#[derive(Debug, Default)]
struct Tally {
    damages: u32,
    whole: u32,
    damaged: u32,
    unreadable: u32,
    refused: u32,
    starts: u32,
}

impl Tally {
    /// Looks at a copy of the fixture with one change, and compares with a start.
    fn one(&mut self, case: &str, change: impl FnOnce(&Path), sound: (u64, u64)) {
        let dir = fixture();
        change(dir.path());
        let before = traces(dir.path());
        self.damages += 1;
        let looked = look(dir.path());
        assert!(traces(dir.path()) == before, "{case}: something was changed");
        let starts = match &looked {
            Ok(inspection) => self.seen(case, inspection),
            Err(StorageError::Refused { .. }) => {
                self.refused += 1;
                false
            }
            Err(other) => panic!("{case}: {other}"),
        };
        let report = looked.ok().map(|inspection| inspection.report);
        match start(dir.path()) {
            Ok(found) => {
                assert!(starts, "{case}: a node starts, but {report:#?}");
                let torn = report.is_some_and(|report| report.log.is_some_and(|log| log.torn.is_some()));
                assert!(found == sound || torn, "{case}: {found:?}");
            }
            Err(refused) => assert!(!starts, "{case}: {refused}, but {report:#?}"),
        }
    }

    fn seen(&mut self, case: &str, inspection: &Inspection) -> bool {
        let report = &inspection.report;
        match report.verdict {
            Verdict::Whole => self.whole += 1,
            Verdict::Damaged => self.damaged += 1,
            Verdict::Unreadable => self.unreadable += 1,
        }
        assert!(report.verdict != Verdict::Whole || report.starts, "{case}: {report:#?}");
        let told = inspection.entries(0, u64::MAX).map(|entry| entry.unwrap().index).collect::<Vec<_>>();
        assert!(told.is_sorted_by(|one, next| one + 1 == *next), "{case}: {told:?}");
        assert_every_damage_has_a_place(report);
        self.starts += u32::from(report.starts);
        report.starts
    }
}

/// What a report says of each damage stands on one line, and has a place.
fn assert_every_damage_has_a_place(report: &Report) {
    for damage in &report.damages {
        assert!(
            !damage.what.contains('\n') && !damage.what.is_empty() && !damage.mend.is_empty(),
            "{damage:?}"
        );
        assert!(damage.path.starts_with(&report.data_dir), "{damage:?}");
    }
}

#[test]
fn every_damaged_copy_is_told_as_a_start_would_take_it() {
    let seed: u64 =
        std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let flips: u32 = std::env::var("DAMAGES").ok().and_then(|it| it.parse().ok()).unwrap_or(6);
    let sound = start(fixture().path()).unwrap();
    let mut tally = Tally::default();
    for file in files() {
        let bytes = fs::read(Path::new(FIXTURE).join(&file)).unwrap();
        let name = file.display().to_string();
        let case = |what: &str| format!("SEED={seed} {name} {what}");
        tally.one(&case("deleted"), |dir| fs::remove_file(dir.join(&file)).unwrap(), sound);
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            let cut = |dir: &Path| fs::write(dir.join(&file), &bytes[..length]).unwrap();
            tally.one(&case(&format!("cut at {length}")), cut, sound);
        }
        for _ in 0..flips {
            let bit = random.random_range(0..bytes.len() * 8);
            let flip = |dir: &Path| {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                fs::write(dir.join(&file), bytes).unwrap();
            };
            tally.one(&case(&format!("bit {bit} flipped")), flip, sound);
        }
    }
    for part in PARTS {
        tally.one(&format!("{part}/ deleted"), |dir| fs::remove_dir_all(dir.join(part)).unwrap(), sound);
    }
    println!("{tally:?}");
    assert!(tally.damaged > 20 && tally.whole > 5 && tally.starts > 20, "{tally:?}");
}

/// The offsets of the whole groups of a segment, and where the last one ends.
fn groups(bytes: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 64;
    while bytes.get(at + 4..at + 8) == Some(b"\xffLU\xfe") {
        starts.push(at);
        let length = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        at = (at + 40 + length).next_multiple_of(8);
    }
    starts
}

#[test]
fn all_damage_of_a_log_is_located_and_what_is_before_it_is_read() {
    let dir = fixture();
    let path = dir.path().join("log/00000002.segment");
    let mut bytes = fs::read(&path).unwrap();
    let groups = groups(&bytes);
    let (first, second) = (groups[6], groups[9]);
    bytes[first + 60] ^= 1;
    bytes[second + 60] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::write(dir.path().join("log/seal"), "").unwrap();

    let inspection = look(dir.path()).unwrap();
    let report = &inspection.report;
    assert_eq!((report.verdict, report.starts), (Verdict::Damaged, false));
    let places: Vec<_> = report.damages.iter().map(|damage| (damage.path.clone(), damage.offset)).collect();
    let seal = dir.path().join("log/seal");
    for place in [(path.clone(), first as u64), (path.clone(), second as u64), (seal, 0)] {
        assert!(places.contains(&(place.0.clone(), Some(place.1))), "{place:?} is not among {places:?}");
    }
    assert_eq!(places.len(), 3, "{:#?}", report.damages);
    let told: Vec<u64> = inspection.entries(0, u64::MAX).map(|entry| entry.unwrap().index).collect();
    let log = report.log.as_ref().unwrap();
    assert_eq!(told, (log.first..log.first + told.len() as u64).collect::<Vec<_>>());
    assert!(!told.is_empty() && told.len() < 24, "{told:?}");
}

#[test]
fn a_segment_that_is_gone_is_named() {
    let dir = fixture();
    fs::remove_file(dir.path().join("log/00000002.segment")).unwrap();
    let report = look(dir.path()).unwrap().report;
    assert!(!report.starts);
    assert!(
        report.damages.iter().any(|damage| damage.what.contains("segment 2 of the log is missing")),
        "{:#?}",
        report.damages
    );
}

#[test]
fn parts_that_are_whole_and_do_not_add_up_are_told() {
    let dir = fixture();
    fs::remove_dir_all(dir.path().join("checkpoint")).unwrap();
    fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
    let report = look(dir.path()).unwrap().report;
    assert_eq!((report.verdict, report.starts), (Verdict::Damaged, false));
    let [damage] = &report.damages[..] else { panic!("{:#?}", report.damages) };
    assert!(damage.what.contains("the log begins after entry 23") && damage.offset.is_none(), "{damage:?}");
}

/// A digest that every checksum agrees with is found to be wrong all the same: it is computed from the records.
#[test]
fn a_planted_digest_is_seen() {
    let dir = fixture();
    let [name] = &RealDisk.list(&dir.path().join("snapshots")).unwrap()[..] else { panic!("one snapshot") };
    let path = dir.path().join("snapshots").join(name);
    let mut bytes = fs::read(&path).unwrap();
    plant(&mut bytes);
    fs::write(&path, bytes).unwrap();
    let report = look(dir.path()).unwrap().report;
    assert_eq!((report.verdict, report.starts), (Verdict::Damaged, true));
    let [damage] = &report.damages[..] else { panic!("{:#?}", report.damages) };
    assert!(damage.path == path && damage.what.contains("digest"), "{damage:?}");
}

/// Changes the digest of a snapshot's header and trailer, with every checksum right.
fn plant(bytes: &mut [u8]) {
    let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    // The digest is the header's last field: 8 bytes behind their marker.
    bytes[16 + length - 1] ^= 1;
    let (version, body) = (bytes[16], bytes[21..16 + length].to_vec());
    let crc = crc32fast::hash(&[&[version], body.as_slice()].concat());
    bytes[17..21].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..16 + length]);
    bytes[16 + length..20 + length].copy_from_slice(&crc.to_le_bytes());
    let trailer = bytes.len() - 28;
    let crc = crc32fast::hash(&bytes[..trailer]);
    bytes[trailer + 24..].copy_from_slice(&crc.to_le_bytes());
    bytes[trailer + 23] ^= 1;
    let crc = crc32fast::hash(&bytes[trailer + 8..]);
    bytes[trailer + 4..trailer + 8].copy_from_slice(&crc.to_le_bytes());
}

/// A crash within a write leaves a group that is not whole: no damage, and told.
#[test]
fn a_write_that_was_cut_off_is_no_damage_and_is_told() {
    let dir = fixture();
    let log = dir.path().join("log");
    let options = storage::log::LogOptions { group: GROUP, segment_bytes: 4096, cache_bytes: 0 };
    let open = storage::log::Log::open(Arc::new(RealDisk), &log, options).unwrap();
    let before: BTreeMap<_, _> = traces(&log);
    let (told, heard) = std::sync::mpsc::channel();
    open.save_vote(
        Vote { term: 3, node: 3, committed: false },
        Box::new(move |result| told.send(result).unwrap()),
    )
    .unwrap();
    heard.recv().unwrap().unwrap();
    // The power goes before the group is sealed, and tears it: the seal is that of before.
    let after = traces(&log);
    drop(open);
    for (path, (content, ..)) in &after {
        let Some(content) = content else { continue };
        let old = before.get(path).and_then(|(content, ..)| content.clone());
        let (seal, mut bytes) = (path.ends_with("seal"), content.clone());
        if let Some(old) = old.filter(|old| old != content) {
            bytes = if seal { old } else { torn(&old, content) };
        }
        fs::write(path, bytes).unwrap();
    }
    let report = look(dir.path()).unwrap().report;
    assert_eq!((report.verdict, report.starts), (Verdict::Whole, true), "{:#?}", report.damages);
    let found = report.log.unwrap();
    assert!(found.torn.is_some(), "{found:#?}");
    assert_eq!(found.vote.map(|vote| vote.term), Some(2));
}

/// The new bytes but for the last of those that differ.
fn torn(old: &[u8], new: &[u8]) -> Vec<u8> {
    let last = (0..new.len()).rev().find(|&at| old.get(at) != Some(&new[at])).unwrap();
    let mut bytes = new.to_vec();
    bytes[last] = old.get(last).copied().unwrap_or(0);
    bytes
}

/// What a later version left in the log is told by its level, and nobody starts on it before that is read.
#[test]
fn an_entry_of_a_level_that_is_not_supported_is_told_and_refused_at_the_start() {
    let dir = fixture();
    let log = dir.path().join("log");
    let options = storage::log::LogOptions { group: GROUP, segment_bytes: 4096, cache_bytes: 0 };
    let open = storage::log::Log::open(Arc::new(RealDisk), &log, options).unwrap();
    let last = open.state().last.unwrap();
    let position = storage::Position { index: last.index + 1, ..last };
    let above = storage::inventory::LEVELS.end() + 1;
    let payload = bytes::Bytes::from(vec![4, above as u8, 0, 0xff, 0xff, 0xff]);
    let (told, heard) = std::sync::mpsc::channel();
    let flushed = Box::new(move |result| told.send(result).unwrap());
    open.append(vec![Entry { position, payload }], flushed).unwrap();
    heard.recv().unwrap().unwrap();
    open.close();
    let report = look(dir.path()).unwrap().report;
    assert_eq!((report.verdict, report.starts), (Verdict::Unreadable, false), "{:#?}", report.damages);
    let why = format!("entry {}: it is of feature level {above}, and this lastunit", position.index);
    assert!(report.unreadable.iter().any(|line| line.contains(&why)), "{:#?}", report.unreadable);
    let refused = start(dir.path()).unwrap_err().to_string();
    assert!(refused.contains(&why) && refused.ends_with("or a newer one"), "{refused}");
}
