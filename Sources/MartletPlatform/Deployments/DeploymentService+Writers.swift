import MartletWire

extension DeploymentService {
    /// Throws `modelNotFound` where `model` stands for nothing, and `invalidRequest` where it writes no text: for work
    /// that begins later. Nothing is loaded by asking.
    func checkWriter(_ model: String, called what: String, param: String, by principal: Principal) async throws {
        let found: ServedModel
        do {
            found = try await describe(model, by: principal)
        } catch let error as MartletError where error.code == .notFound {
            throw MartletError(
                .modelNotFound,
                "\(what) '\(model.prefix(200))' does not exist, or this key may not use it; see GET /v1/models",
                param: param)
        }
        guard found.model.signature.isLanguage, found.model.signature.language?.generates != false else {
            throw MartletError(
                .invalidRequest, "\(what) '\(model.prefix(200))' writes no text; name a language model", param: param)
        }
    }
}
