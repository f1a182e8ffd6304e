//! What can be chosen: datastores with their versions, flavors.

use redtrove_core::catalogue::{Datastore, DatastoreVersion, Flavor};
use redtrove_core::ids::DatastoreVersionId;
use redtrove_engine::ports::{NewVersion, StoreError};

use crate::backend::{Backend, SqlStore, printed, values, whole};
use crate::rows::{self, version_columns};

const DATASTORES: &str = concat!(
    "SELECT d.id AS d_id, d.name AS d_name, ",
    version_columns!(),
    " FROM datastores d LEFT JOIN datastore_versions v ON v.datastore_id = d.id ORDER BY d.name, v.name"
);

const VERSION: &str = concat!("SELECT ", version_columns!(), " FROM datastore_versions v WHERE v.id = ?");

const DATASTORE_ID: &str = "SELECT id FROM datastores WHERE name = ?";

const FIND_VERSION: &str = "SELECT id FROM datastore_versions WHERE datastore_id = ? AND name = ?";

const NO_DEFAULT: &str = "UPDATE datastore_versions SET is_default = 0 WHERE datastore_id = ?";

const INSERT_VERSION: &str = "INSERT INTO datastore_versions \
    (id, datastore_id, name, engine, active, is_default, settings) VALUES (?, ?, ?, ?, 1, ?, ?)";

const FLAVORS: &str = "SELECT * FROM flavors ORDER BY id";

const DELETE_FLAVORS: &str = "DELETE FROM flavors";

const INSERT_FLAVOR: &str = "INSERT INTO flavors (id, name, ram, vcpus, disk, ephemeral) VALUES (?, ?, ?, ?, ?, ?)";

impl<B: Backend> SqlStore<B> {
    pub(crate) async fn read_datastores(&self) -> Result<Vec<Datastore>, StoreError> {
        let mut datastores: Vec<Datastore> = Vec::new();
        for row in &self.rows(DATASTORES, values![]).await? {
            let id = rows::parsed(row, "d_id")?;
            if datastores.last().is_none_or(|datastore| datastore.id != id) {
                let name = rows::present(rows::text(row, "d_name")?, "d_name")?;
                datastores.push(Datastore { id, name, versions: Vec::new() });
            }
            if rows::text(row, "v_id")?.is_some()
                && let Some(datastore) = datastores.last_mut()
            {
                datastore.versions.push(rows::version(row)?);
            }
        }
        Ok(datastores)
    }

    pub(crate) async fn read_version(&self, id: DatastoreVersionId) -> Result<Option<DatastoreVersion>, StoreError> {
        self.row(VERSION, values![printed(id)]).await?.as_ref().map(rows::version).transpose()
    }

    /// See `Store::add_version`. Whoever holds the datastore's row is the only one who adds to it.
    pub(crate) async fn insert_version(&self, new: &NewVersion) -> Result<bool, StoreError> {
        let settings = serde_json::to_string(&new.settings).map_err(|error| StoreError::Broken(error.into()))?;
        let mut tx = self.begin().await?;
        tx.execute(B::KEEP_DATASTORE, values![printed(new.datastore_id), new.datastore.as_str()]).await?;
        let row = tx.one(DATASTORE_ID, values![new.datastore.as_str()]).await?;
        let datastore = rows::text(&rows::present(row, "datastore")?, "id")?;
        if tx.one(FIND_VERSION, values![datastore.clone(), new.version.as_str()]).await?.is_some() {
            return Ok(false);
        }
        if new.is_default {
            tx.execute(NO_DEFAULT, values![datastore.clone()]).await?;
        }
        let version = values![
            printed(new.version_id),
            datastore,
            new.version.as_str(),
            new.engine.name(),
            new.is_default,
            settings,
        ];
        tx.execute(INSERT_VERSION, version).await?;
        tx.commit().await?;
        Ok(true)
    }

    pub(crate) async fn read_flavors(&self) -> Result<Vec<Flavor>, StoreError> {
        self.rows(FLAVORS, values![]).await?.iter().map(rows::flavor).collect()
    }

    /// See `Store::put_flavors`. The lease's row lets one at a time replace them; readers see all old or all new.
    pub(crate) async fn replace_flavors(&self, flavors: &[Flavor]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(B::KEEP_LEASE, values!["flavors"]).await?;
        tx.execute(DELETE_FLAVORS, values![]).await?;
        for flavor in flavors {
            let values = values![
                flavor.id.as_str(),
                flavor.name.as_str(),
                whole(flavor.ram)?,
                flavor.vcpus,
                whole(flavor.disk)?,
                whole(flavor.ephemeral)?,
            ];
            tx.execute(INSERT_FLAVOR, values).await?;
        }
        tx.commit().await
    }
}
