//! One record shown to somebody who holds only a checkpoint and the key.

use countersign_audit::tail::{self, Filter};
use countersign_audit::{Proof, ProofError, RecordId};
use countersign_crypto::JwkSet;
use serde_json::Value;

use crate::fixture::{Fixture, by_the_examples, fixtures, record_some};

async fn ids(fixture: &Fixture) -> Vec<RecordId> {
    let page = tail::list(fixture.pool(), &Filter::default(), None, 1000)
        .await
        .expect("reads");
    page.records.into_iter().map(|record| record.id).collect()
}

#[tokio::test]
async fn every_anchored_record_can_be_shown() {
    for fixture in fixtures().await {
        fixture.three_writers().await;
        let lines = fixture.lines().await;
        let oldest = lines.lines().next().expect("a checkpoint");
        for id in ids(&fixture).await {
            let proof = Proof::of(fixture.pool(), &id, None).await.expect("a proof");
            let text = serde_json::to_string(&proof).expect("JSON");
            let shown = Proof::parse(&text)
                .expect("reads")
                .check(&fixture.keys)
                .expect("holds");
            assert_eq!(shown.record.id, id);
            // Writers that began after the oldest checkpoint are unknown to it.
            match Proof::of(fixture.pool(), &id, Some(oldest)).await {
                Ok(proof) => {
                    let shown = proof.check(&fixture.keys).expect("extends the oldest");
                    assert_eq!(shown.since, Some(1));
                }
                Err(error) => assert!(matches!(error, ProofError::Since(_)), "{error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_record_newer_than_the_checkpoint_waits_for_the_next() {
    let fixture = Fixture::new_sqlite().await;
    let recorder = fixture.recorder().await;
    recorder.checkpoint().await.expect("a checkpoint");
    record_some(&recorder, 1).await;
    let newest = ids(&fixture).await.pop().expect("a record");
    let error = Proof::of(fixture.pool(), &newest, None)
        .await
        .expect_err("too new");
    assert!(matches!(error, ProofError::NotAnchored(_)), "{error}");
    recorder.checkpoint().await.expect("a checkpoint");
    Proof::of(fixture.pool(), &newest, None).await.expect("a proof");
}

#[tokio::test]
async fn no_part_of_a_proof_can_be_changed() {
    let fixture = Fixture::new_sqlite().await;
    fixture.three_writers().await;
    let lines = fixture.lines().await;
    let id = ids(&fixture).await[2].clone();
    let proof = Proof::of(fixture.pool(), &id, lines.lines().next())
        .await
        .expect("a proof");
    let honest = serde_json::to_value(&proof).expect("JSON");
    let mut places = vec![];
    leaves(&honest, &mut vec![], &mut places);
    assert!(places.len() > 40, "{} places", places.len());
    let mut all = vec![];
    for place in &places {
        let mut changed = honest.clone();
        let leaf = changed.pointer_mut(place).expect("there");
        *leaf = match leaf.take() {
            Value::String(text) if text.is_empty() => Value::from("x"),
            Value::String(text) => {
                let last = text.chars().last().expect("not empty");
                let other = if last == '0' { '1' } else { '0' };
                Value::from(format!("{}{other}", &text[..text.len() - last.len_utf8()]))
            }
            Value::Number(number) => Value::from(number.as_i64().expect("an integer") + 1),
            _ => Value::from("x"),
        };
        let holds = Proof::parse(&changed.to_string()).and_then(|proof| proof.check(&fixture.keys));
        assert!(holds.is_err(), "a change of {place} went unnoticed");
        all.push(changed.to_string());
    }
    let examples = by_the_examples(&fixture.keys, "", &[], &all);
    for (place, faults) in places.iter().zip(examples) {
        assert!(
            !faults.is_empty(),
            "the example did not notice a change of {place}"
        );
    }
    let stranger = JwkSet { keys: vec![] };
    assert!(proof.check(&stranger).is_err(), "no key, no proof");
}

/// `docs/audit.md` is enough to check proofs, of whatever shape of tree.
#[tokio::test]
async fn the_example_accepts_every_proof() {
    let fixture = Fixture::new_sqlite().await;
    let recorder = fixture.recorder().await;
    for records in [1, 1, 2, 3, 5] {
        record_some(&recorder, records).await;
        recorder.checkpoint().await.expect("a checkpoint");
    }
    fixture.recorder().await.close().await.expect("closes");
    let lines = fixture.lines().await;
    let (mut proofs, mut ids) = (vec![], ids(&fixture).await);
    ids.truncate(13);
    for id in &ids {
        for line in lines.lines() {
            let proof = Proof::of(fixture.pool(), id, Some(line)).await.expect("a proof");
            proofs.push(serde_json::to_string(&proof).expect("JSON"));
        }
    }
    assert_eq!(proofs.len(), 13 * lines.lines().count());
    for faults in by_the_examples(&fixture.keys, &lines, &[], &proofs) {
        assert!(faults.is_empty(), "{faults:?}");
    }
    // Made since a checkpoint that nobody kept, or since none.
    let alone = serde_json::to_string(&Proof::of(fixture.pool(), &ids[1], None).await.expect("a proof"));
    proofs.truncate(1);
    proofs.push(alone.expect("JSON"));
    let newest = lines.lines().next_back().expect("a line");
    for faults in by_the_examples(&fixture.keys, newest, &[], &proofs) {
        assert!(!faults.is_empty());
    }
}

/// JSON pointers of all values that hold no others.
fn leaves(value: &Value, at: &mut Vec<String>, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                at.push(name.clone());
                leaves(member, at, places);
                at.pop();
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                at.push(index.to_string());
                leaves(item, at, places);
                at.pop();
            }
        }
        _ => places.push(format!("/{}", at.join("/"))),
    }
}
