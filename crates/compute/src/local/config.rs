//! `[compute.local]`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use redtrove_core::catalogue::Flavor;
use redtrove_core::topology::Engine;
use serde::{Deserialize, Deserializer, Serialize, de};

/// The section `[compute.local]` of the taskmanager's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalConfig {
    /// Where the instances' directories are; absolute. Made if it is missing. Required.
    #[serde(deserialize_with = "absolute")]
    pub directory: PathBuf,
    /// The loopback addresses to give to instances, `127.20.0.0/16`. Nobody else may use them. Required.
    pub address_block: AddressBlock,
    /// The program redtrove-guestagent; absolute. Required.
    #[serde(deserialize_with = "absolute")]
    pub guestagent: PathBuf,
    /// Whether an agent that ended is started again. Default true.
    #[serde(default = "yes")]
    pub supervise: bool,
    /// The server program of each engine that nodes may run: `redis = "/usr/bin/redis-server"`. Required.
    #[serde(deserialize_with = "engines")]
    pub engines: BTreeMap<Engine, PathBuf>,
    /// The sizes of machine to choose from. Required, one at least.
    #[serde(deserialize_with = "flavors")]
    pub flavors: Vec<Flavor>,
}

fn yes() -> bool {
    true
}

/// The least memory of a flavor, MB: what an agent can prepare a server for.
const LEAST_RAM: u64 = 64;

fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if path.is_absolute() {
        return Ok(path);
    }
    Err(de::Error::custom(format_args!("'{}' is not an absolute path", path.display())))
}

fn engines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Engine, PathBuf>, D::Error> {
    let engines = BTreeMap::<Engine, PathBuf>::deserialize(deserializer)?;
    if engines.is_empty() {
        return Err(de::Error::custom("no engine is configured, so no instance could run anything"));
    }
    match engines.iter().find(|(_, path)| !path.is_absolute()) {
        None => Ok(engines),
        Some((engine, path)) => Err(de::Error::custom(format_args!(
            "the program of engine {engine}, '{}', is not an absolute path",
            path.display()
        ))),
    }
}

fn flavors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Flavor>, D::Error> {
    let flavors = Vec::<Flavor>::deserialize(deserializer)?;
    check_flavors(&flavors).map_err(de::Error::custom)?;
    Ok(flavors)
}

fn check_flavors(flavors: &[Flavor]) -> Result<(), String> {
    if flavors.is_empty() {
        return Err("there is no flavor, so no instance could be made".to_owned());
    }
    let mut ids = BTreeSet::new();
    for flavor in flavors {
        let id = &flavor.id;
        if !(1..=64).contains(&id.chars().count()) {
            return Err(format!("the flavor id '{}' is not 1 to 64 characters long", cut(id)));
        }
        if !ids.insert(id) {
            return Err(format!("two flavors have the id '{id}'"));
        }
        if !(1..=255).contains(&flavor.name.chars().count()) {
            return Err(format!("the name of flavor '{id}' is not 1 to 255 characters long"));
        }
        if flavor.ram < LEAST_RAM {
            return Err(format!("flavor '{id}' has {} MB of memory, the least is {LEAST_RAM}", flavor.ram));
        }
    }
    Ok(())
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A block of loopback addresses: `127.20.0.0/16`, prefixes from 16 to 28.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressBlock {
    first: u32,
    prefix: u8,
}

/// A text that is no address block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a block of loopback addresses: {reason}")]
pub struct InvalidBlock {
    /// What was given, cut to 64 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl AddressBlock {
    /// The addresses for instances, in order. In every /24 the first and last four stay unused, for people and
    /// their tools, and so does each /24 that ends in .255: a stack's own servers live there.
    pub fn addresses(self) -> impl DoubleEndedIterator<Item = Ipv4Addr> {
        let last = self.first | (u32::MAX >> self.prefix);
        (self.first..=last).map(Ipv4Addr::from).filter(|address| {
            let [_, _, subnet, host] = address.octets();
            subnet != 255 && (4..=251).contains(&host)
        })
    }
}

impl FromStr for AddressBlock {
    type Err = InvalidBlock;

    fn from_str(text: &str) -> Result<Self, InvalidBlock> {
        let refuse = |reason| InvalidBlock { text: cut(text), reason };
        let (address, prefix) = text.split_once('/').ok_or_else(|| refuse("expected address/prefix"))?;
        let address: Ipv4Addr = address.parse().map_err(|_| refuse("the address is none"))?;
        let prefix: u8 = prefix.parse().map_err(|_| refuse("the prefix is no number"))?;
        if !(16..=28).contains(&prefix) {
            return Err(refuse("the prefix is not 16 to 28"));
        }
        if !address.is_loopback() {
            return Err(refuse("it is not in 127.0.0.0/8"));
        }
        let first = u32::from(address);
        if first & (u32::MAX >> prefix) != 0 {
            return Err(refuse("the address is not the first of the block"));
        }
        let block = Self { first, prefix };
        if block.addresses().next().is_none() {
            return Err(refuse("no address in it is for instances"));
        }
        Ok(block)
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

impl TryFrom<String> for AddressBlock {
    type Error = InvalidBlock;

    fn try_from(text: String) -> Result<Self, InvalidBlock> {
        text.parse()
    }
}

impl From<AddressBlock> for String {
    fn from(block: AddressBlock) -> Self {
        block.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        directory = "/tmp/instances"
        address_block = "127.20.0.0/16"
        guestagent = "/usr/bin/redtrove-guestagent"
        [engines]
        redis = "/usr/bin/redis-server"
        [[flavors]]
        id = "1"
        name = "small"
        ram = 64
        vcpus = 1
    "#;

    fn error(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from));
        toml::from_str::<LocalConfig>(&GOOD.replace(from, to)).unwrap_err().to_string()
    }

    #[test]
    fn a_section_is_read_and_written_back() {
        let config: LocalConfig = toml::from_str(GOOD).unwrap();
        assert!(config.supervise);
        assert_eq!(config.flavors[0].ram, 64);
        let again: LocalConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_reason() {
        assert!(error("\"/tmp/instances\"", "\"instances\"").contains("'instances' is not an absolute path"));
        assert!(error("\"/usr/bin/redis-server\"", "\"redis-server\"").contains("program of engine redis"));
        assert!(error("redis = ", "etcd = ").contains("etcd"));
        assert!(error("ram = 64", "ram = 63").contains("the least is 64"));
        assert!(error("id = \"1\"", "id = \"\"").contains("1 to 64"));
        assert!(error("vcpus = 1", "vcpus = 1\ncores = 2").contains("cores"));
        assert!(
            error("[[flavors]]", "[[flavors]]\nid = \"1\"\nname = \"a\"\nram = 64\nvcpus = 1\n[[flavors]]")
                .contains("two flavors")
        );
        assert!(error("directory", "supervised = true\ndirectory").contains("supervised"));
    }

    #[test]
    fn a_block_is_of_loopback_addresses() {
        for bad in [
            "",
            "127.20.0.0",
            "127.20.0.0/33",
            "127.20.0.0/8",
            "127.20.0.1/16",
            "10.0.0.0/16",
            "x/16",
            "127.20.255.0/24",
            "127.20.0.0/29",
        ] {
            assert!(bad.parse::<AddressBlock>().is_err(), "{bad}");
        }
        let block: AddressBlock = "127.20.0.0/16".parse().unwrap();
        assert_eq!(block.to_string(), "127.20.0.0/16");
        assert_eq!(block.addresses().next(), Some(Ipv4Addr::new(127, 20, 0, 4)));
        assert_eq!(block.addresses().next_back(), Some(Ipv4Addr::new(127, 20, 254, 251)));
        assert_eq!(block.addresses().count(), 255 * 248);
    }
}
