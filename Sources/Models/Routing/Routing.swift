import MMoETensor

/// A router's decision for one batch: who goes where, with what weight.
public struct Routing {
  public let choice: GateChoice
  public let plan: DispatchPlan
}
