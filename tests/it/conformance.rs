//! OpenStack's own command lines, as their users call them: every cluster command, with Keystone and with a token of
//! the file, by name and by id.

mod cli;
mod guide;
mod look_up;
mod old_shell;
mod walk;

use redtrove_testkit::clients::Clients;

use self::cli::Cli;
use crate::support::world::World;

#[test]
fn every_cluster_command_works_with_keystone() {
    let mut world = World::with_keystone(|_| ());
    let clients = Clients::beside_test().unwrap();
    let cloud = world.stack().cloud().unwrap().clone();
    let (member, admin) = (Cli::keystone(&clients, &cloud.member), Cli::keystone(&clients, &cloud.admin));
    walk::all(&world, &member, &admin);
    world.end(&[]);
}

#[test]
fn every_cluster_command_works_with_a_token_of_the_file() {
    let mut world = World::embedded(|_| ());
    let clients = Clients::beside_test().unwrap();
    let (api, tokens) = (world.stack().description().api.clone(), world.stack().tokens().clone());
    let cli = |token| Cli::admin_token(&clients, &api, token);
    walk::all(&world, &cli(&tokens.member), &cli(&tokens.admin));
    world.end(&[]);
}

#[test]
fn what_commands_look_up_is_there() {
    let mut world = World::with_keystone(|_| ());
    let clients = Clients::beside_test().unwrap();
    let cloud = world.stack().cloud().unwrap().clone();
    look_up::all(&mut world, &Cli::keystone(&clients, &cloud.member), &Cli::keystone(&clients, &cloud.admin));
    let reader = Cli::keystone(&clients, &cloud.reader);
    assert_eq!(reader.list(&["database", "cluster", "list"]).len(), 0);
    let refused = ["database", "cluster", "create", "no", "redis", "7.0", "--instance", "flavor=1,volume=1"];
    assert!(reader.refused(&refused).contains("HTTP 403"), "a reader creates nothing");
    world.end(&[]);
}

#[test]
fn the_old_shell_works_with_keystone() {
    let mut world = World::with_keystone(|_| ());
    let clients = Clients::beside_test().unwrap();
    let cloud = world.stack().cloud().unwrap().clone();
    old_shell::all(&world, &Cli::keystone(&clients, &cloud.member), &Cli::keystone(&clients, &cloud.admin));
    world.end(&[]);
}

#[test]
fn the_commands_of_the_user_guide_do_what_it_says() {
    let mut world = World::with_keystone(|_| ());
    let clients = Clients::beside_test().unwrap();
    let cloud = world.stack().cloud().unwrap().clone();
    guide::all(&world, &Cli::keystone(&clients, &cloud.member));
    world.end(&[]);
}
