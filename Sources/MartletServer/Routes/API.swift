import MartletPlatform
import MartletWire

/// Every route of the server over one platform.
struct API: Sendable {
    let platform: Platform
    let statistics = InferenceStatistics()
    let version: String

    /// The whole table but for what describes the table itself.
    var routes: [Route] {
        healthRoutes + consoleRoutes + datasetRoutes + jobRoutes + modelRoutes + deploymentRoutes + projectRoutes
            + accountingRoutes + openInferenceRoutes + openAIRoutes + responseRoutes + fileRoutes + tuningRoutes
            + chatCompletionRoutes + batchRoutes + evalRoutes + graderRoutes
    }
}

extension Call {
    /// Who asks, the text of a path's parameter, for the many routes that need just these.
    func of(_ name: String) throws -> (value: String, by: Principal) { (try parameter(name), try caller()) }
}

/// What a deletion answers.
struct Deleted: Encodable {
    var deleted = true
    /// What no longer works because of `force`.
    var broken: [String]
}
