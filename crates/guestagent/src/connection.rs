//! The one connection to redis-server, over its unix socket, as the agent's own user.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, RedisConnectionInfo,
    RedisError, RedisResult, ServerErrorKind, Value,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::acl::AGENT_USER;
use crate::home::Home;

/// The socket is on this machine: it accepts at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a reply may take. A hundred servers that share two cores are slow, but not that slow.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// What redis-server answered to one command.
pub type Reply = Result<Value, Refusal>;

/// A reply that is an error, as a server writes it: "ERR Slot 0 is already busy".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// Why redis-server did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It reads its data set.
    #[error("redis-server is loading its data set")]
    Loading,
    /// It could not be reached, or took too long.
    #[error("redis-server does not answer: {0}")]
    Unreachable(String),
}

/// The connection, made when it is first needed and again after it broke.
#[derive(Debug)]
pub struct Connection {
    home: Arc<Home>,
    password: SecretString,
    open: Mutex<Option<MultiplexedConnection>>,
}

impl Connection {
    /// A connection that is not made yet.
    pub fn new(home: Arc<Home>, password: SecretString) -> Self {
        Self { home, password, open: Mutex::new(None) }
    }

    /// The password of the agent's user.
    pub fn password(&self) -> &SecretString {
        &self.password
    }

    /// Sends all commands at once and reads their replies, one a command.
    ///
    /// A connection that turns out to be broken, as after a restart of the server, is made again once. All the
    /// agent's commands may be repeated.
    pub async fn ask(&self, commands: Vec<Cmd>) -> Result<Vec<Reply>, NoAnswer> {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command);
        }
        pipeline.ignore_errors();
        let (connection, fresh) = self.connect().await?;
        match self.send(&pipeline, connection).await {
            Err(error) if !fresh && error.is_connection_dropped() && !error.is_timeout() => {
                let (connection, _) = self.connect().await?;
                self.send(&pipeline, connection).await.map_err(no_answer)
            }
            result => result.map_err(no_answer),
        }
    }

    /// Sends one command.
    pub async fn ask_one(&self, command: Cmd) -> Result<Reply, NoAnswer> {
        let mut replies = self.ask(vec![command]).await?;
        replies.pop().ok_or_else(|| NoAnswer::Unreachable("no reply".to_owned()))
    }

    /// The open connection or a new one, and whether it is new.
    async fn connect(&self) -> Result<(MultiplexedConnection, bool), NoAnswer> {
        let mut open = self.open.lock().await;
        if let Some(connection) = &*open {
            return Ok((connection.clone(), false));
        }
        let login = RedisConnectionInfo::default()
            .set_username(AGENT_USER)
            .set_password(self.password.expose_secret())
            .set_skip_set_lib_name();
        let address = ConnectionAddr::Unix(self.home.socket()).into_connection_info().map_err(no_answer)?;
        let client = Client::open(address.set_redis_settings(login)).map_err(no_answer)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(REPLY_TIMEOUT));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(no_answer)?;
        *open = Some(connection.clone());
        Ok((connection, true))
    }

    async fn send(&self, pipeline: &Pipeline, mut connection: MultiplexedConnection) -> RedisResult<Vec<Reply>> {
        let replies: RedisResult<Vec<RedisResult<Value>>> = pipeline.query_async(&mut connection).await;
        match replies {
            Ok(replies) => replies.into_iter().map(sort_reply).collect(),
            Err(error) => {
                *self.open.lock().await = None;
                Err(error)
            }
        }
    }
}

/// Errors that a server wrote are replies; one that says "not now" is not: it loads, or a script does not end.
fn sort_reply(reply: RedisResult<Value>) -> RedisResult<Reply> {
    match reply {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::BusyLoading) => Err(error),
        Err(error) if error.code() == Some("BUSY") => Err(error),
        Err(error) => match error.code() {
            Some(code) => Ok(Err(Refusal(format!("{code} {}", error.detail().unwrap_or_default())))),
            None => Err(error),
        },
    }
}

fn no_answer(error: RedisError) -> NoAnswer {
    if error.kind() == ErrorKind::Server(ServerErrorKind::BusyLoading) {
        NoAnswer::Loading
    } else {
        NoAnswer::Unreachable(error.to_string())
    }
}
