import MartletNN
import MartletTensor
import MartletWire

/// The linear layers of a language model that an adapter can add to while the model serves, by their weights' names.
public struct AdapterSites: Sendable {
    /// A layer's place in the groups that serving computes.
    public struct Site: Sendable, Equatable {
        /// The group's number in the model's `linearGroups`.
        public var group: Int
        /// The first of the layer's columns in the group's result.
        public var first: Int
        public var inputs: Int
        public var outputs: Int
    }

    /// Groups of the model; those that a router feeds count, but have no sites.
    public let groupCount: Int
    private let sites: [String: Site]
    private let routed: Set<String>
    private let parameterName: @Sendable (String) -> String

    /// Weights that several modules share have no sites: an addition to one would be one to all.
    public init(_ model: any LanguageModel) {
        let groups = model.linearGroups
        let shared = model.sharedParameters()
        var names: [ObjectIdentifier: String] = [:]
        for item in model.parameters() { names[ObjectIdentifier(item.parameter)] = item.name }
        var sites: [String: Site] = [:]
        var routed: Set<String> = []
        for (number, group) in groups.enumerated() {
            var first = 0
            for layer in group.layers {
                let id = ObjectIdentifier(layer.weight)
                let (outputs, inputs) = (layer.weight.value.size(0), layer.weight.value.size(1))
                defer { first += outputs }
                guard let name = names[id], !shared.contains(id) else { continue }
                if group.isRouted {
                    routed.insert(name)
                } else {
                    sites[name] = Site(group: number, first: first, inputs: inputs, outputs: outputs)
                }
            }
        }
        groupCount = groups.count
        self.sites = sites
        self.routed = routed
        parameterName = model.checkpoint.parameterName
    }

    /// Where an adapter's layer is, by the name of its weight in a file; nil where the model has no such layer.
    public subscript(weight: String) -> Site? { sites[parameterName(weight)] }

    /// Whether a layer is one of an expert's, which sees only some of a pass's tokens.
    func isRouted(_ weight: String) -> Bool { routed.contains(parameterName(weight)) }
}
