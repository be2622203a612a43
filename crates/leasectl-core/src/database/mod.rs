//! Connections to PostgreSQL: a bounded pool for work, and single connections outside it.
//!
//! **Invariant.** Every wait ends: for a free connection, for a connect, for a statement, for a
//! lock, and for a transaction that its writer left open.

mod direct;
mod driver;
mod error;
mod tls;
mod url;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime, Timeouts,
    Transaction,
};
use tokio::runtime::Handle;
use tokio_postgres::Config;

pub(crate) use self::direct::{DirectConnection, connect_direct};
use self::driver::Driver;
pub use self::error::{ConnectError, DatabaseError};
pub use self::url::{DatabaseUrl, DatabaseUrlError, SslMode};

/// A connection with its cache of prepared statements.
pub type Client = deadpool_postgres::Client;

/// The oldest PostgreSQL that is supported.
const OLDEST_SERVER: i32 = 14;

/// What every work session is set to: a frozen writer that holds its job's row must not block a
/// takeover for as long as it sleeps.
///
/// Sessions keep the plans that they made while a table was empty, when reading all of it looks
/// cheapest; a burst of jobs then costs a walk over all of them for each claim until the next
/// `ANALYZE`. Every statement has its index, so such plans are never wanted.
///
/// A prepared statement is planned once. Left alone, the server takes an array of a parameter for ten
/// elements, finds a plan made for the one that came cheaper, and makes it anew at every call: planning
/// an enqueue took three quarters of its time. See [`planned_anew`] for the exception.
const SESSION: &str = "set idle_in_transaction_session_timeout = '5s'; set lock_timeout = '2s'; \
                       set statement_timeout = '30s'; set jit = off; set enable_seqscan = off; \
                       set plan_cache_mode = force_generic_plan";

/// How a pool is made.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// The most connections that are open at once.
    pub max_size: usize,
    /// The name shown in `pg_stat_activity`.
    pub application_name: String,
}

/// A database: cheap to clone, connects when asked to.
#[derive(Clone, Debug)]
pub struct Database {
    url: DatabaseUrl,
    pool: Pool,
    application_name: String,
    driver: Arc<OnceLock<Handle>>,
}

impl Database {
    /// Makes the pool without connecting.
    ///
    /// # Errors
    /// When the TLS settings of the URL cannot be used.
    pub fn open(url: &DatabaseUrl, options: PoolOptions) -> Result<Self, ConnectError> {
        let driver = Arc::default();
        let pool = make_pool(url, &options, &driver)?;
        Ok(Self {
            url: url.clone(),
            pool,
            application_name: options.application_name,
            driver,
        })
    }

    /// Makes the pool and checks that the server can be used.
    ///
    /// # Errors
    /// As [`Database::open`] and [`Database::check`].
    pub async fn connect(url: &DatabaseUrl, options: PoolOptions) -> Result<Self, ConnectError> {
        let database = Self::open(url, options)?;
        database.check().await?;
        Ok(database)
    }

    /// Checks that the server answers, is new enough, and does not lose commits.
    ///
    /// # Errors
    /// When it cannot be reached, is too old, or runs with `synchronous_commit = off`, with which
    /// an accepted job could vanish.
    pub async fn check(&self) -> Result<(), ConnectError> {
        let client = self.client().await?;
        let row = client
            .query_one(
                "select current_setting('server_version_num')::integer / 10000, \
                        current_setting('synchronous_commit')",
                &[],
            )
            .await
            .map_err(DatabaseError::from)?;
        let version: i32 = row.get(0);
        if version < OLDEST_SERVER {
            return Err(ConnectError::ServerTooOld {
                found: version,
                oldest: OLDEST_SERVER,
            });
        }
        if row.get::<_, String>(1) == "off" {
            return Err(ConnectError::CommitsMayBeLost);
        }
        Ok(())
    }

    /// Has every connection that is opened from now on driven by the runtime on which this is called,
    /// whoever opens it; the first call decides.
    ///
    /// A connection answers only while the runtime lives that drives it. Call it where the pool is
    /// shared with code that may block its threads.
    pub fn drive_here(&self) {
        // A second call finds the runtime of the first, which is as good.
        let _ = self.driver.set(Handle::current());
    }

    /// A connection from the pool.
    ///
    /// # Errors
    /// When none becomes free, or none can be made, in time.
    pub async fn client(&self) -> Result<Client, DatabaseError> {
        Ok(self.pool.get().await?)
    }

    /// Closes a connection that gave no answer in time, and every idle one: whatever silenced it, such
    /// as a proxy that keeps dead connections open, has likely silenced them.
    ///
    /// What the connection was asked for may have happened all the same.
    pub fn give_up(&self, silent: Client) -> DatabaseError {
        drop(Client::take(silent));
        self.pool.retain(|_, _| false);
        DatabaseError::NoAnswer
    }

    /// A pool of exactly one connection beside this one, so that an exhausted pool never delays
    /// what must not be late.
    ///
    /// # Errors
    /// When the TLS settings of the URL cannot be used.
    pub fn dedicated(&self, purpose: &str) -> Result<Self, ConnectError> {
        Self::open(
            &self.url,
            PoolOptions {
                max_size: 1,
                application_name: format!("{} {purpose}", self.application_name),
            },
        )
    }

    /// Where this database is.
    #[must_use]
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a new connection may take to accept its settings.
const SET_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// What bounds a transaction of several statements, whatever the session is set to: through a pooler
/// in transaction mode settings made with `set` may be somebody else's by then.
const LIMITS: &str = "set local idle_in_transaction_session_timeout = '5s'; \
                      set local lock_timeout = '2s'; set local statement_timeout = '30s'";

/// The answer to the first statement of a transaction, which is sent together with the transaction's
/// own limits: they cost no round trip, and hold for that statement too.
///
/// # Errors
/// When the database refuses either, or is away.
pub(crate) async fn limited<T>(
    transaction: &Transaction<'_>,
    first: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    // Polled in this order, and so sent in it.
    let (limits, first) = futures::join!(transaction.batch_execute(LIMITS), first);
    limits?;
    first
}

/// The answer to the first statement of a transaction, planned for the parameters that it has: for
/// statements with filters that may be absent, of which no plan suits all.
///
/// # Errors
/// When the database refuses it, or is away.
pub(crate) async fn planned_anew<T>(
    transaction: &Transaction<'_>,
    first: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    let anew = transaction.batch_execute("set local plan_cache_mode = force_custom_plan");
    // Polled in this order, and so sent in it.
    let (anew, first) = futures::join!(anew, first);
    anew?;
    first
}

fn config_for(url: &DatabaseUrl, application_name: &str) -> Config {
    let mut config = url.config().clone();
    config
        .application_name(application_name)
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(Duration::from_secs(5))
        .keepalives_interval(Duration::from_secs(2))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(10));
    config
}

fn make_pool(
    url: &DatabaseUrl,
    options: &PoolOptions,
    driver: &Arc<OnceLock<Handle>>,
) -> Result<Pool, ConnectError> {
    let manager = Manager::from_connect(
        config_for(url, &options.application_name),
        Driver {
            tls: tls::connector(url)?,
            runtime: Arc::clone(driver),
        },
        ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        },
    );
    Pool::builder(manager)
        .max_size(options.max_size)
        .runtime(Runtime::Tokio1)
        // The connection used last has its statements prepared and planned: a light load stays on a
        // few warm connections instead of touring all of them.
        .queue_mode(QueueMode::Lifo)
        .timeouts(Timeouts {
            wait: Some(Duration::from_secs(10)),
            create: Some(CONNECT_TIMEOUT),
            recycle: Some(Duration::from_secs(5)),
        })
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move {
                // The pool's own limits do not cover this.
                match tokio::time::timeout(SET_UP_TIMEOUT, client.batch_execute(SESSION)).await {
                    Ok(set_up) => set_up.map_err(HookError::Backend),
                    Err(_elapsed) => Err(HookError::message("the server gave no answer in time")),
                }
            })
        }))
        .build()
        .map_err(|_no_runtime| ConnectError::Database(DatabaseError::ConnectTimeout))
}
