//! The guest agent as it runs: its binary, real redis-servers, mutual TLS.

#[cfg(test)]
mod acl;
#[cfg(test)]
mod closing;
#[cfg(test)]
mod depth;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod forming;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod input;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod nodes_conf;
#[cfg(test)]
mod outside;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod scaling;
#[cfg(test)]
mod survival;
