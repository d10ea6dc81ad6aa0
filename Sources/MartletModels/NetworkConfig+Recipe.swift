import MartletData
import MartletWire

extension NetworkConfig {
    /// The network for a recipe over data that has been prepared.
    public init(_ recipe: Recipe, _ preprocessing: Preprocessing, _ layouts: [FeatureLayout]) throws {
        let inputs = layouts.filter { $0.role == .input }
        let targets = layouts.filter { $0.role == .target }
        guard inputs.count == recipe.inputs.count, targets.count == recipe.outputs.count else {
            throw MartletError(.internal, "the prepared data does not match the recipe; start the job again")
        }
        self.init(
            inputs: zip(recipe.inputs, inputs).map { config, layout in
                Input(
                    name: config.name, type: config.type, shape: layout.shape, categoryCount: layout.cardinality ?? 0,
                    encoder: config.encoder)
            },
            outputs: zip(recipe.outputs, targets).map { config, layout in
                Output(
                    name: config.name, type: config.type,
                    size: layout.cardinality ?? max(layout.shape.reduce(1, *), 1), activation: config.activation)
            },
            combiner: recipe.combiner)
    }
}
