//! A node leaves its cluster: it is emptied, and forgets everybody and its own id.
//!
//! That it is about to is on the disk before anything is touched, that it has is on the disk before the caller hears of
//! it. Whatever happens in between, the node stays shut, and the same call repeated does the rest.
//!
//! No slot may go with it. Whether it has one is read after tenants were shut out, and from then on it gets none: a node
//! takes slots by commands that it is given itself, never by what others say of it, and only this agent is left to
//! give any, one call at a time. A redis-server that starts again takes the slots of keys that it finds and that
//! nobody owns; so a call that is repeated looks again.
//!
//! What cannot be seen from here is a tenant's word to *another* node that a slot is this one's. The other drops the slot
//! (a node that holds keys in it refuses) and this one does not take it: nobody owns it then. It shows in the other's
//! view, which the caller asks for while this node is closed. Later than that, it takes a `SETSLOT` by hand in a
//! cluster where no slot is on the move, and leaves a slot without owner and without keys.

use std::sync::Arc;

use redtrove_core::topology::NodeView;
use redtrove_core::{Clock, NodeId};
use redtrove_service::SystemClock;

use super::Node;
use crate::acl::Tenants;
use crate::failure::Failure;
use crate::state::{NodeState, Shut};

impl Node {
    /// Empties the node and takes it out of its cluster, for ever.
    pub(crate) async fn leave(self: Arc<Self>, expected: NodeId) -> Result<(), Failure> {
        let state = self.prepared()?;
        let begun = match state.shut {
            Some(Shut::Leaving(id) | Shut::Left(id)) if id != expected => return self.member().map(drop),
            Some(Shut::Leaving(_) | Shut::Left(_)) => true,
            Some(Shut::Until(_)) | None => false,
        };
        if state.tenants() == Tenants::Open {
            return Err(Failure::WrongState("the node is open to tenants: close it first".to_owned()));
        }
        // They are, but all that follows depends on it, and a server may have been started by an older file.
        self.redis.set_tenants(Tenants::Closed).await?;
        let view = self.own_view().await?;
        if view.myself == expected {
            if let Err(error) = self.empty(&state, &view).await {
                self.stay(&error).await?;
                return Err(error);
            }
        } else if !begun {
            return Err(Failure::another(view.myself, expected));
        } else if view.nodes.len() > 1 {
            // Somebody who remembered its address has met it since.
            self.redis.reset().await?;
        }
        self.put(state.with_shut(Some(Shut::Left(expected)))).await
    }

    async fn empty(self: &Arc<Self>, state: &NodeState, view: &NodeView) -> Result<(), Failure> {
        may_leave(view)?;
        if view.keys > 0 {
            // Out of clients' reach: they are sent to the slots' owners.
            tracing::warn!("the node leaves with {} keys of slots that it does not own", view.keys);
        }
        self.put(state.with_shut(Some(Shut::Leaving(view.myself)))).await?;
        self.redis.reset().await
    }

    /// After a refusal the node is a member as before. It is closed for a while, not for ever: the caller may not come
    /// back.
    async fn stay(self: &Arc<Self>, error: &Failure) -> Result<(), Failure> {
        match (self.prepared()?, error) {
            (state, Failure::WrongState(_)) if matches!(state.shut, Some(Shut::Leaving(_) | Shut::Left(_))) => {
                let until = SystemClock.now().after(self.closing);
                self.put(state.with_shut(state.complete.then_some(Shut::Until(until)))).await
            }
            _ => Ok(()),
        }
    }
}

/// Refuses for a node that owns a slot or takes part in a slot move.
fn may_leave(view: &NodeView) -> Result<(), Failure> {
    let Some(own) = view.own() else { return Ok(()) };
    let open: Vec<String> = own.migrating.iter().chain(&own.importing).map(|(slot, _)| slot.to_string()).collect();
    if !own.slots.is_empty() {
        Err(Failure::WrongState(format!("the node owns slots: {}", own.slots)))
    } else if !open.is_empty() {
        Err(Failure::WrongState(format!("the node takes part in moves of slots: {}", open.join(", "))))
    } else {
        Ok(())
    }
}
