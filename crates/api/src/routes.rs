//! Every route, each with the rule that guards it. The OpenAPI document is made from the same list.

mod clusters;
mod datastores;
mod flavors;
mod instances;
mod limits;
mod mgmt;
mod modules;
mod versions;
mod volume_types;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::caller::guard;
use crate::policy::Rule;

/// The table of routes.
pub fn table() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(versions::list))
        .routes(guard(Rule::ClusterCreate, routes!(clusters::create::create)))
        .routes(guard(Rule::ClusterIndex, routes!(clusters::list::list)))
        .routes(guard(Rule::ClusterShow, routes!(clusters::show::show)))
        .routes(guard(Rule::ClusterDelete, routes!(clusters::delete::delete)))
        .routes(guard(Rule::ClusterAction, routes!(clusters::action::act)))
        .routes(guard(Rule::ClusterAction, routes!(clusters::action::act_at_action)))
        .routes(guard(Rule::ClusterShowInstance, routes!(clusters::show_instance::show)))
        .routes(guard(Rule::RootIndex, routes!(clusters::root::show)))
        .routes(guard(Rule::RootCreate, routes!(clusters::root::enable)))
        .routes(guard(Rule::RootDelete, routes!(clusters::root::disable)))
        .routes(guard(Rule::InstanceIndex, routes!(instances::list)))
        .routes(guard(Rule::InstanceIndex, routes!(instances::list_in_detail)))
        .routes(guard(Rule::InstanceShow, routes!(instances::show)))
        .routes(guard(Rule::InstanceModules, routes!(instances::modules)))
        .routes(guard(Rule::InstanceAction, routes!(instances::change::act)))
        .routes(guard(Rule::InstanceAction, routes!(instances::change::act_at_action)))
        .routes(guard(Rule::InstanceAction, routes!(instances::change::update)))
        .routes(guard(Rule::InstanceAction, routes!(instances::change::edit)))
        .routes(guard(Rule::InstanceAction, routes!(instances::change::delete)))
        .routes(guard(Rule::ModuleIndex, routes!(modules::list)))
        .routes(guard(Rule::ModuleShow, routes!(modules::show)))
        .routes(guard(Rule::FlavorIndex, routes!(flavors::list)))
        .routes(guard(Rule::FlavorShow, routes!(flavors::show)))
        .routes(guard(Rule::DatastoreIndex, routes!(datastores::list)))
        .routes(guard(Rule::DatastoreShow, routes!(datastores::show)))
        .routes(guard(Rule::DatastoreVersionIndex, routes!(datastores::list_versions)))
        .routes(guard(Rule::DatastoreVersionShow, routes!(datastores::show_version)))
        .routes(guard(Rule::DatastoreVersionShowByUuid, routes!(datastores::show_version_by_id)))
        .routes(guard(Rule::DatastoreFlavors, routes!(datastores::list_flavors)))
        .routes(guard(Rule::DatastoreVolumeTypes, routes!(datastores::list_volume_types)))
        .routes(guard(Rule::VolumeTypeIndex, routes!(volume_types::list)))
        .routes(guard(Rule::VolumeTypeShow, routes!(volume_types::show)))
        .routes(guard(Rule::LimitsIndex, routes!(limits::list)))
        .routes(guard(Rule::QuotaShow, routes!(mgmt::quotas::show)))
        .routes(guard(Rule::QuotaUpdate, routes!(mgmt::quotas::change)))
        .routes(guard(Rule::OperatorIndex, routes!(mgmt::clusters::list)))
        .routes(guard(Rule::OperatorShow, routes!(mgmt::clusters::show)))
        .routes(guard(Rule::OperatorAction, routes!(mgmt::clusters::act)))
}
