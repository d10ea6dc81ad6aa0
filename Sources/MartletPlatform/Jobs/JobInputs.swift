import MartletStore
import MartletWire

/// What a request for a job refers to, checked and pinned to versions.
struct JobInputs: Sendable {
    let store: Store

    /// The job's name and inputs. Throws `invalidRequest`, `invalidRecipe` or `notFound` that names the reference.
    func resolve(_ request: JobRequest, projectID: String) async throws -> (name: String, inputs: [JobInput]) {
        try Self.checkDevice(request.device)
        switch request.kind {
        case .train:
            guard let tree = request.recipe else { throw Self.missing("recipe", .train) }
            let recipe = try RecipeReader.read(json: tree).recipe
            let source = recipe.data.source
            var inputs: [JobInput] = []
            for reference in source.all + source.train + source.validation + source.test
            where !inputs.contains(where: { $0.reference == reference }) {
                inputs.append(try await dataset(reference, projectID: projectID, param: "recipe.data.source"))
            }
            return (try Name.check(request.name ?? recipe.name, what: "job"), inputs)
        case .evaluate:
            guard let model = request.model else { throw Self.missing("model", .evaluate) }
            guard let dataset = request.dataset else { throw Self.missing("dataset", .evaluate) }
            let inputs = [
                try await self.model(model, projectID: projectID),
                try await self.dataset(dataset, projectID: projectID, param: "dataset"),
            ]
            return (try Name.check(request.name ?? "evaluate-\(inputs[0].name)", what: "job"), inputs)
        case .import:
            guard let dataset = request.dataset else { throw Self.missing("dataset", .import) }
            let input = try await self.dataset(dataset, projectID: projectID, param: "dataset")
            return (request.name ?? input.name, [input])
        case .fineTune, .optimize, .batch:
            throw MartletError(
                .invalidRequest, "jobs of kind '\(request.kind.rawValue)' are not offered; use train or evaluate",
                param: "kind")
        }
    }

    private func dataset(_ reference: String, projectID: String, param: String) async throws -> JobInput {
        let unknown = MartletError(
            .notFound, "there is no dataset '\(reference.prefix(200))'; add it with 'martlet data add NAME PATH'",
            param: param)
        guard let (name, version) = try? Name.parseReference(reference, what: "dataset"),
            let found = try await store.dataset(name, version: version, projectID: projectID)
        else { throw unknown }
        return JobInput(
            kind: "dataset", reference: reference, name: found.name, version: found.version,
            treeHash: found.contentHash)
    }

    func model(_ reference: String, projectID: String) async throws -> JobInput {
        let (name, version) = try Name.parseReference(reference, what: "model")
        guard let found = try await store.model(name, version: version, projectID: projectID) else {
            throw MartletError(
                .notFound, "there is no model '\(reference.prefix(200))'; see 'martlet models list'", param: "model")
        }
        return JobInput(
            kind: "model", reference: reference, name: found.name, version: found.version, treeHash: found.contentHash)
    }

    /// A whole language model, which an adapter can be for. Throws `invalidRequest` for another.
    func adaptable(_ reference: String, projectID: String) async throws -> JobInput {
        let input = try await model(reference, projectID: projectID)
        let found = try await store.model(input.name, version: input.version, projectID: projectID)
        guard let language = found?.signature.language, language.base == nil else {
            throw MartletError(
                .invalidRequest,
                "'\(reference.prefix(200))' cannot be a base: it is no whole language model; see "
                    + "'martlet models show'", param: "base")
        }
        return input
    }

    private static func missing(_ field: String, _ kind: JobKind) -> MartletError {
        MartletError(.invalidRequest, "a job of kind '\(kind.rawValue)' needs '\(field)'; add it", param: field)
    }

    /// `cpu`, `cuda` or `cuda:N`.
    private static func checkDevice(_ device: String?) throws {
        guard let device, device != "cpu", device != "cuda" else { return }
        guard device.hasPrefix("cuda:"), let index = Int(device.dropFirst(5)), (0..<1024).contains(index) else {
            throw MartletError(
                .invalidRequest, "'\(device.prefix(40))' is not a device; use cpu, cuda or cuda:N", param: "device")
        }
    }
}
