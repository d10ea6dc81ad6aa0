import Foundation
import MartletNN
import MartletTensor
import MartletWire

/// Turns a GGUF file into a folder of Hugging Face's form; quantized weights become numbers again.
enum GGUFImport {
    /// Quantized weights are written as float16: what that rounds is far below what the quantization did.
    static func run(from source: URL, to target: URL) throws -> ImportReport {
        let file = try GGUFFile(source)
        let model = try GGUFModel(file)
        let tokenizer = try GGUFTokenizer(file.metadata)
        try check(model, tokenizer)
        try ModelImport.makeFolder(target)
        do {
            try write(model, tokenizer, file, to: target)
            let folder = try ModelFolder(target)
            var report = try ModelImport.check(folder, WeightFiles(folder: target))
            let formats = Set(model.tensors.map(\.entry.format)).filter(\.isQuantized).map { "\($0)".uppercased() }
            if !formats.isEmpty {
                report.findings.append(
                    "the weights in \(formats.sorted().joined(separator: ", ")) were turned into float16")
            }
            return report
        } catch {
            try? FileManager.default.removeItem(at: target)
            throw error
        }
    }

    /// Shapes against the config before the large part starts.
    private static func check(_ model: GGUFModel, _ tokenizer: GGUFTokenizer?) throws {
        let made = try Parameter.withoutMemory { try LanguageModelCatalog.make(config: model.config) }
        let shapes = Dictionary(
            model.tensors.map { ($0.name, $0.entry.shape) }, uniquingKeysWith: { first, _ in first })
        let known = made.aliases()
        var wanted = Set<String>()
        for item in made.parameters() {
            wanted.insert(item.name)
            guard let shape = shapes[item.name] else {
                throw MartletError(.invalidData, "the GGUF file has no tensor for '\(item.name)'")
            }
            guard shape == item.parameter.value.shape else {
                throw MartletError(
                    .invalidData,
                    "the GGUF file's '\(item.name)' has the shape \(shape); the model takes "
                        + "\(item.parameter.value.shape)")
            }
        }
        if let extra = shapes.keys.sorted().first(where: { !wanted.contains($0) && !known.contains($0) }) {
            throw MartletError(.unsupportedFormat, "the GGUF file's tensor '\(extra)' has no place in the model")
        }
        if let tokenizer {
            try TokenizerSize.check(tokenizer.tokenizer, vocabularyCount: made.geometry.vocabularyCount)
        }
    }

    private static func write(
        _ model: GGUFModel, _ tokenizer: GGUFTokenizer?, _ file: GGUFFile, to target: URL
    ) throws {
        var files: [(String, Data)] = [("config.json", model.config.data)]
        if let tokenizer {
            files += [
                ("tokenizer.json", tokenizer.tokenizer), ("tokenizer_config.json", tokenizer.tokenizerConfig.data),
                ("generation_config.json", tokenizer.generationConfig.data),
            ]
        }
        do {
            for (name, data) in files { try data.write(to: target.appending(path: name)) }
            if let template = tokenizer?.chatTemplate {
                try Data(template.utf8).write(to: target.appending(path: "chat_template.jinja"))
            }
            if let pooling = model.pooling {
                let folder = target.appending(path: "1_Pooling")
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
                try pooling.data.write(to: folder.appending(path: "config.json"))
            }
        } catch {
            throw MartletError(.storageFull, "the imported model could not be written; make room and try again")
        }
        try SafeTensors.write(
            model.tensors.map { name, entry, change in
                .init(name: name, type: writtenType(entry, change), shape: entry.shape)
            }, metadata: ["format": "pt"], to: target.appending(path: "model.safetensors").path
        ) { index in
            let (_, entry, change) = model.tensors[index]
            let tensor = try file.tensor(entry)
            let plain =
                switch change {
                case .mixed(let heads): try unmixed(tensor, heads)
                case .raised: try tensor.to(.float32).add(-1)
                case nil: tensor
                }
            return try plain.to(writtenType(entry, change))
        }
    }

    /// What a tensor is written as: one from which something was taken is no number of few bits any more.
    private static func writtenType(_ entry: GGUFFile.Entry, _ change: GGUFKind.Change?) -> ScalarType {
        if case .raised = change { return .float32 }
        return entry.format.isQuantized ? .float16 : entry.format.storedType
    }

    /// Puts the two halves of each head's rows, which the conversion mixed, one after the other again.
    private static func unmixed(_ tensor: Tensor, _ heads: Int) throws -> Tensor {
        let shape = tensor.shape
        guard shape[0] % (2 * heads) == 0 else {
            throw MartletError(.invalidData, "\(shape[0]) rows do not divide into \(heads) heads of two halves")
        }
        return try tensor.reshape([heads, shape[0] / heads / 2, 2, -1]).transpose(1, 2).reshape(shape).contiguous()
    }
}
