import Foundation
import MartletStore
import MartletWire

/// What a request for a job refers to, checked and pinned to versions.
struct JobInputs: Sendable {
    let store: Store
    /// The moment at which files that expire are looked at.
    var now = Date()

    /// The kind that a job has: one that trains a registered model further is `fine_tune`, whoever submits it.
    static func kind(of request: JobRequest) -> JobKind {
        request.kind == .train && request.recipe?["base"]?.isNull == false ? .fineTune : request.kind
    }

    /// The job's name and inputs. Throws `invalidRequest`, `invalidRecipe` or `notFound` that names the reference.
    func resolve(_ request: JobRequest, projectID: String) async throws -> (name: String, inputs: [JobInput]) {
        try Self.checkDevice(request.device)
        switch request.kind {
        case .train, .fineTune:
            guard let tree = request.recipe else { throw Self.missing("recipe", request.kind) }
            let recipe = try RecipeReader.read(json: tree).recipe
            let source = recipe.data.source
            var inputs: [JobInput] = []
            for reference in source.all + source.train + source.validation + source.test
            where !inputs.contains(where: { $0.reference == reference }) {
                inputs.append(try await dataset(reference, projectID: projectID, param: "recipe.data.source"))
            }
            if let base = recipe.base {
                inputs += try await tunable(base, projectID: projectID)
            } else if request.kind == .fineTune {
                throw MartletError(
                    .invalidRequest, "a job of kind 'fine_tune' needs a recipe with 'base'; name the model in it",
                    param: "recipe.base")
            }
            return (try Name.check(request.name ?? recipe.name, what: "job"), inputs)
        case .evaluate:
            guard let model = request.model else { throw Self.missing("model", .evaluate) }
            guard let dataset = request.dataset else { throw Self.missing("dataset", .evaluate) }
            var inputs = try await measurable(model, projectID: projectID)
            inputs.append(try await self.dataset(dataset, projectID: projectID, param: "dataset"))
            return (try Name.check(request.name ?? "evaluate-\(inputs[0].name)", what: "job"), inputs)
        case .import:
            guard let dataset = request.dataset else { throw Self.missing("dataset", .import) }
            let input = try await self.dataset(dataset, projectID: projectID, param: "dataset")
            return (request.name ?? input.name, [input])
        case .optimize, .batch:
            throw MartletError(
                .invalidRequest,
                "jobs of kind '\(request.kind.rawValue)' are not offered; use train, fine_tune or evaluate",
                param: "kind")
        }
    }

    private func dataset(_ reference: String, projectID: String, param: String) async throws -> JobInput {
        let unknown = MartletError(
            .notFound, "there is no dataset '\(reference.prefix(200))'; add it with 'martlet data add NAME PATH'",
            param: param)
        if let file = try await store.file(reference, projectID: projectID, at: now) {
            return try Self.input(file, param: param)
        }
        guard let (name, version) = try? Name.parseReference(reference, what: "dataset"),
            let found = try await store.dataset(name, version: version, projectID: projectID)
        else { throw unknown }
        return JobInput(
            kind: "dataset", reference: reference, name: found.name, version: found.version,
            treeHash: found.contentHash)
    }

    /// An uploaded file that is a dataset.
    private static func input(_ file: FileInfo, param: String) throws -> JobInput {
        guard let dataset = file.dataset, let (name, version) = try? Name.parseReference(dataset, what: "dataset"),
            let version
        else {
            throw MartletError(
                .invalidRequest,
                "'\(file.id)' has the purpose '\(file.purpose.rawValue)' and cannot be read as data; upload it with the "
                    + "purpose 'fine-tune'", param: param)
        }
        return JobInput(
            kind: "dataset", reference: file.id, name: name, version: version, treeHash: file.contentHash)
    }

    func model(_ reference: String, projectID: String) async throws -> JobInput {
        Self.input(try await found(reference, projectID: projectID), reference)
    }

    private func found(_ reference: String, projectID: String) async throws -> ModelInfo {
        guard let found = try await store.resolveModel(reference, projectID: projectID) else {
            throw MartletError(
                .notFound, "there is no model '\(reference.prefix(200))'; see 'martlet models list'", param: "model")
        }
        return found
    }

    private static func input(_ model: ModelInfo, _ reference: String) -> JobInput {
        JobInput(
            kind: "model", reference: reference, name: model.name, version: model.version, treeHash: model.contentHash)
    }

    /// The model that is trained further, and where it is an adapter, the base that it needs too.
    private func tunable(_ reference: String, projectID: String) async throws -> [JobInput] {
        guard let model = try await store.resolveModel(reference, projectID: projectID) else {
            throw MartletError(
                .modelNotFound, "there is no model '\(reference.prefix(200))'; see 'martlet models list'",
                param: "model")
        }
        func refuse(_ why: String) -> MartletError {
            MartletError(.invalidRequest, "'\(reference.prefix(200))' is not tunable: \(why)", param: "model")
        }
        guard model.signature.isLanguage, let language = model.signature.language else {
            throw refuse("it is no language model; name one that 'martlet models import' or a recipe's 'model' made")
        }
        let other = "name a model that goes on with its prompt"
        try Self.checkGoesOn(language, encoder: other, source: other, refuse)
        return try await inputs(model, reference, projectID: projectID, refuse)
    }

    /// The model that is measured on a dataset, and where it is an adapter, the base that it needs too.
    private func measurable(_ reference: String, projectID: String) async throws -> [JobInput] {
        let model = try await found(reference, projectID: projectID)
        guard let language = model.signature.language else { return [Self.input(model, reference)] }
        func refuse(_ why: String) -> MartletError {
            MartletError(
                .invalidRequest, "'\(reference.prefix(200))' cannot be measured on a dataset: \(why)", param: "model")
        }
        guard model.signature.isLanguage else {
            throw refuse("it was imported and no recipe says what its answers are; ask it with martlet predict")
        }
        try Self.checkGoesOn(
            language, encoder: "compare its vectors from /v1/embeddings",
            source: "grade its answers with --graders FILE", refuse)
        return try await inputs(model, reference, projectID: projectID, refuse)
    }

    /// Refuses a language model that does not go on with its prompt; what to do with an `encoder`, and with one that has
    /// a `source`.
    private static func checkGoesOn(
        _ language: LanguageSummary, encoder: String, source: String, _ refuse: (String) -> MartletError
    ) throws {
        guard language.generates else {
            throw refuse("it is an encoder and does not go on with a prompt; \(encoder)")
        }
        guard language.sourceLength == nil else {
            throw refuse("it reads a source before it writes; \(source)")
        }
    }

    /// A model, and after it the base of an adapter.
    private func inputs(
        _ model: ModelInfo, _ reference: String, projectID: String, _ refuse: (String) -> MartletError
    ) async throws -> [JobInput] {
        guard let base = model.signature.language?.base else { return [Self.input(model, reference)] }
        guard let whole = try await store.resolveModel(base.reference, projectID: projectID),
            whole.contentHash == base.contentHash
        else { throw refuse("it is an adapter for '\(base.reference)', which is gone; import that again") }
        return [Self.input(model, reference), Self.input(whole, base.reference)]
    }

    /// A whole language model, which an adapter can be for. Throws `invalidRequest` for another.
    func adaptable(_ reference: String, projectID: String) async throws -> JobInput {
        let input = try await model(reference, projectID: projectID)
        let found = try await store.model(input.name, version: input.version, projectID: projectID)
        guard let signature = found?.signature, signature.isLanguage, signature.language?.base == nil else {
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
