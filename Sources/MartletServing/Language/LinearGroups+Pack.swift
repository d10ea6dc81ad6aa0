import MartletNN

extension [LinearGroup] {
    /// Packs in the format asked for, or, where none is, in the best that this CPU and these weights take.
    /// - Returns: the format. Without one that packs, the layers compute as they are.
    func pack(_ asked: WeightFormat?) throws -> WeightFormat {
        let format = asked ?? .half
        do {
            for group in self { try group.pack(format) }
            return format
        } catch  where asked == nil {
            do {
                for group in self { try group.pack(.packed) }
                return .packed
            } catch {
                for group in self { group.packed = nil }
                return .dense
            }
        }
    }
}
