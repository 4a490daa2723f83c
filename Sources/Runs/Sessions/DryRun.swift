import Foundation
import MMoEConfig
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// `--dry-run`: what a run would take, from its configuration and a look at the data that it names.
struct DryRun {
  let task: TaskKind
  let preset: String
  let config: RunConfig
  let division: RunDivision
  /// Nil without `--data`.
  let data: DataSurvey?

  /// - Parameter path: what `--data` names.
  /// - Throws: what is wrong with the data.
  init(task: TaskKind, preset: String, config: RunConfig, division: RunDivision = RunDivision(), data path: String?)
    throws
  {
    (self.task, self.preset, self.division) = (task, preset, division)
    var config = config
    data = try path.map { try task.survey($0, &config) }
    self.config = config
  }

  func text() throws -> String {
    var table = TextTable(columns: [.left("dry run"), .right("\(preset), \(config.model.moe.variant)")])
    try ModelFigures(config, division).add(to: &table)
    for (name, value) in data?.counts ?? [] { table.add([name, HumanFormat.grouped(value)]) }
    let notes = [config.train.steps.flatMap { config.schedule.note(total: $0) }].compactMap { $0 }
    return table.render(for: StandardStream.output)
      + (notes + (data?.notes.map { "note: \($0)" } ?? [])).map { $0 + "\n" }.joined()
  }

  func json() throws -> JSONValue {
    let figures = try ModelFigures(config, division)
    var fields: [String: JSONValue] = [
      "task": .string(task.name), "preset": .string(preset),
      "variant": .string(config.model.moe.variant), "parameters": .int(figures.costs.parameters),
      "active_parameters": .int(figures.costs.activeParameters),
      "forward_flops_per_sample": .double(figures.costs.forwardFLOPs),
      "flops_per_step": .double(figures.stepFLOPs),
      "ranks": .int(division.ranks), "state_bytes": .int(Int(figures.memory.state)),
      "activation_bytes": .double(figures.memory.activations), "memory_bytes": .double(figures.memory.total),
    ]
    fields["data"] = data?.json
    return .object(fields)
  }
}
