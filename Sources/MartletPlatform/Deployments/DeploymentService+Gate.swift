import MartletWire

extension DeploymentService {
    /// Writes down why a model did not take over; a deployment that is not there stays so.
    func note(_ error: MartletError, onDeployment name: String?, ofModel model: String, by principal: Principal) async {
        let key = Router.Key(project: principal.project, name: name ?? String(model.prefix { $0 != "@" }))
        guard entries[key] != nil else { return }
        entries[key]?.stored.error = error.message
        try? await save(key)
    }
}
