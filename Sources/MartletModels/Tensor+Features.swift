import MartletData
import MartletTensor

extension Tensor {
    /// One feature of a batch: [rows] + layout.shape.
    public convenience init(_ values: FeatureValues, layout: FeatureLayout, rows: Int, device: Device) throws {
        let shape = [rows] + layout.shape
        switch values {
        case .floats(let values): try self.init(values, shape: shape, device: device)
        case .ints(let values): try self.init(values, shape: shape, device: device)
        case .bytes(let values): try self.init(values, shape: shape, device: device)
        }
    }
}
