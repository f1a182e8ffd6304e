//! What looking after an installation reads and writes.

use std::collections::BTreeSet;
use std::time::Duration;

use redtrove_core::InstanceId;
use redtrove_engine::ports::{Amendment, Change, Ending, Record};

use tokio::task::JoinSet;

use super::{Bed, LONG, success};

pub(super) async fn when_members_were_last_looked_at_is_known(bed: Bed) {
    assert_eq!(bed.store.watched().await.unwrap().looked, None);
    assert!(bed.store.take_monitor("tm-1", LONG).await.unwrap());
    let watched = bed.second.watched().await.unwrap();
    let looked = watched.looked.unwrap();
    assert!(looked <= watched.now, "{watched:?}");
    assert!(!bed.second.take_monitor("tm-2", LONG).await.unwrap());
    assert_eq!(bed.store.watched().await.unwrap().looked, Some(looked), "who does not get it has not looked");
}

pub(super) async fn the_slots_that_clusters_serve_are_kept(bed: Bed) {
    let new = bed.ready(2).await;
    assert_eq!(bed.store.slots_served().await.unwrap(), [(new.id, None)].into());
    bed.store.put_slots_served(&[(new.id, 16_000)]).await.unwrap();
    assert_eq!(bed.second.slots_served().await.unwrap(), [(new.id, Some(16_000))].into());
    assert_eq!(bed.store.cluster(new.id).await.unwrap().unwrap().0.slots_served, Some(16_000));
    let lease = bed.deleting(new.id).await.lease;
    bed.store.finish(&lease, &Ending { cluster_deleted: true, ..success() }).await.unwrap();
    assert!(bed.store.slots_served().await.unwrap().is_empty());
}

pub(super) async fn what_has_not_ended_is_listed_with_its_lease(bed: Bed) {
    bed.ready(1).await;
    let new = bed.created(1).await;
    let open = bed.store.open_tasks().await.unwrap();
    assert_eq!(open.iter().map(|open| (open.task.id, open.lease_ends)).collect::<Vec<_>>(), [(new.task.id, None)]);
    bed.claimed(new.task.id).await;
    let open = bed.second.open_tasks().await.unwrap();
    assert!(open[0].lease_ends.unwrap() > open[0].task.created);
}

pub(super) async fn a_sound_database_has_nothing_to_be_put_right(bed: Bed) {
    let new = bed.ready(2).await;
    let busy = bed.created(2).await;
    assert!(bed.store.left_behind().await.unwrap().is_empty());
    assert_eq!(bed.store.usage_differences().await.unwrap(), []);
    assert!(bed.store.old_debts(Duration::ZERO).await.unwrap().is_empty());
    let amendments = [
        Amendment::Free { cluster: new.id },
        Amendment::Free { cluster: busy.id },
        Amendment::Supersede { task: new.task.id },
        Amendment::Supersede { task: busy.task.id },
        Amendment::Blame { instance: new.instances[0].id },
        Amendment::Blame { instance: busy.instances[0].id },
        Amendment::Bury { instance: busy.instances[0].id },
    ];
    for amendment in amendments {
        assert!(!bed.store.amend(&amendment).await.unwrap(), "{amendment:?}");
    }
    let before = bed.store.usages(&new.project).await.unwrap();
    for usage in &before {
        let (project, resource) = (new.project.clone(), usage.resource);
        bed.store.amend(&Amendment::Recount { project, resource }).await.unwrap();
    }
    assert_eq!(bed.second.usages(&new.project).await.unwrap(), before, "it was right");
}

pub(super) async fn orphans_keep_the_time_of_their_first_look(bed: Bed) {
    let [first, second, third] = [(); 3].map(|()| InstanceId(bed.scattered()));
    bed.store.put_orphans(&[first, second].into()).await.unwrap();
    let listed = bed.second.orphans().await.unwrap();
    assert_eq!(listed.len(), 2);
    bed.second.put_orphans(&[second, third].into()).await.unwrap();
    let now = bed.store.orphans().await.unwrap();
    let known = listed.iter().find(|orphan| orphan.instance == second).unwrap();
    assert!(now.len() == 2 && now.contains(known), "{now:?}");
    bed.store.put_orphans(&[].into()).await.unwrap();
    assert!(bed.store.orphans().await.unwrap().is_empty());
}

/// Two taskmanagers that look at the same time.
pub(super) async fn racing_looks_at_orphans_agree(bed: Bed) {
    for _ in 0..6 {
        let present: BTreeSet<_> = (0..8).map(|_| InstanceId(bed.scattered())).collect();
        let mut race = JoinSet::new();
        for store in [&bed.store, &bed.second, &bed.store, &bed.second] {
            let (store, present) = (store.clone(), present.clone());
            race.spawn(async move { store.put_orphans(&present).await });
        }
        for result in race.join_all().await {
            result.unwrap();
        }
        let orphans = bed.store.orphans().await.unwrap();
        assert_eq!(orphans.iter().map(|orphan| orphan.instance).collect::<BTreeSet<_>>(), present);
    }
}

pub(super) async fn instances_without_a_row_are_told_from_deleted_ones(bed: Bed) {
    let new = bed.ready(20).await;
    let lease = bed.deleting(new.id).await.lease;
    let changes = vec![Change::Gone { instance: new.instances[0].id }];
    bed.store.record(&lease, &Record { changes, ..Record::default() }).await.unwrap();
    let unknown = InstanceId(bed.scattered());
    let asked: Vec<_> = new.instances.iter().map(|instance| instance.id).chain([unknown]).collect();
    assert_eq!(bed.store.unknown_among(&asked).await.unwrap(), [unknown].into());
    assert!(bed.store.unknown_among(&[]).await.unwrap().is_empty());
}
