import MartletWire

extension DeploymentService {
    /// Writes down why a model did not take over; a deployment that is not there stays so.
    func note(_ error: MartletError, onDeployment name: String?, ofModel model: String, by principal: Principal) async {
        let key = Router.Key(project: principal.project, name: name ?? String(model.prefix { $0 != "@" }))
        await note(error.message, onDeployment: key)
    }

    /// Shown with the deployment, and stored with it where there is room.
    func note(_ reason: String, onDeployment key: Router.Key) async {
        guard entries[key] != nil else { return }
        entries[key]?.stored.error = reason
        try? await save(key)
    }
}
