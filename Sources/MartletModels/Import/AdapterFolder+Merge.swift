import Foundation
import MartletTensor
import MartletWire

extension AdapterFolder {
    /// Writes the base's files with the additions in its weights, in the types that the base has.
    func merge(into base: URL, writing target: URL) throws -> ImportReport {
        let folder = try ModelFolder(base)
        let weights = try WeightFiles(folder: base)
        var report = try ModelImport.check(folder, weights)
        let model = try ImportedModel(config: folder.config, tensors: weights.names)
        var parts = try parts()
        var merged: [(String, Tensor)] = []
        for name in weights.names {
            var tensor = try weights.tensor(name)
            let key = model.checkpoint.parameterName(name)
            if let part = parts.removeValue(forKey: name) ?? parts.removeValue(forKey: key) {
                tensor = try added(part, to: tensor, name, isTransposed: model.checkpoint.isTransposed(key))
            }
            merged.append((name, tensor))
        }
        if let left = parts.keys.sorted().first { throw mismatch("the base has no layer '\(left)'") }
        try ModelImport.makeFolder(target)
        try SafeTensors.write(
            merged, metadata: ["format": "pt"], to: target.appending(path: "model.safetensors").path)
        try ModelImport.copyBeside(folder, to: target)
        report.findings.append("an adapter made for '\(baseName)' is merged into the weights")
        return report
    }

    private func added(_ part: Part, to tensor: Tensor, _ name: String, isTransposed: Bool) throws -> Tensor {
        let (a, b) = (try files.tensor(part.a).to(.float32), try files.tensor(part.b).to(.float32))
        guard a.rank == 2, b.rank == 2, a.size(0) == b.size(1) else {
            throw MartletError(.invalidData, "'\(part.a)' \(a.shape) and '\(part.b)' \(b.shape) cannot be multiplied")
        }
        var sum = try b.matmul(a).mul(part.scale)
        if isTransposed { sum = try sum.transpose() }
        guard sum.shape == tensor.shape else {
            throw mismatch("its addition to '\(name)' has the shape \(sum.shape), the base \(tensor.shape)")
        }
        return try tensor.to(.float32).add(sum).to(tensor.scalarType).contiguous()
    }
}
