import MMoEConfig
import MMoEModels
import MMoETensor

/// A place of `finetune.*`: the parameters of a role by its word, or a pattern over paths.
package enum ParameterPlace {
  case role(ParameterRole)
  case pattern(PathPattern)

  package init(_ text: String) {
    self = ParameterRole(rawValue: text).map(ParameterPlace.role) ?? .pattern(PathPattern(text))
  }

  /// - Parameter name: of a parameter's piece, as checkpoints name it.
  package func contains(_ parameter: Parameter, _ name: String) -> Bool {
    switch self {
    case .role(let role): parameter.role == role
    case .pattern(let pattern): pattern.matches(name)
    }
  }
}
