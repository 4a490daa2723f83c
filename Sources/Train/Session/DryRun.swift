import Foundation
import MMoEModels
import MMoETensor

/// `--dry-run`: what a run would take, from its configuration and a look at the data that it names.
struct DryRun {
  /// Stops what this process cannot hold before memory is taken: the system would end it later without a word.
  ///
  /// - Throws: `TrainError` naming both sizes.
  static func requireMemory(for config: RunConfig) throws {
    let figures = try ModelFigures(config)
    let needed = Double(figures.stateBytes) + figures.activationBytes
    let allowed = MemoryLimit.available
    guard needed <= Double(allowed) else {
      let isLimited = allowed < Int(ProcessInfo.processInfo.physicalMemory)
      let limit = isLimited ? "ulimit -v leaves buffers" : "this machine has"
      throw TrainError(
        "model.width \(config.model.width), model.layers \(config.model.layers), moe.experts \(config.model.moe.experts) and data.batch \(config.data.batch) need about \(HumanFormat.bytes(Int(min(needed, 1e18)))) of memory, \(limit) \(HumanFormat.bytes(allowed)); lower them or raise train.accumulation"
      )
    }
  }

  let task: TaskKind
  let preset: String
  let config: RunConfig
  /// Nil without `--data`.
  let data: DataSurvey?

  /// - Parameter path: what `--data` names.
  /// - Throws: what is wrong with the data.
  init(task: TaskKind, preset: String, config: RunConfig, data path: String?) throws {
    (self.task, self.preset) = (task, preset)
    var config = config
    data = try path.map { try DataSurvey(task, $0, &config) }
    self.config = config
  }

  func text() throws -> String {
    var table = TextTable(columns: [.left("dry run"), .right("\(preset), \(config.model.moe.variant)")])
    try ModelFigures(config).add(to: &table)
    for (name, value) in data?.counts ?? [] { table.add([name, HumanFormat.grouped(value)]) }
    let notes = [config.train.steps.flatMap { config.schedule.note(total: $0) }].compactMap { $0 }
    return table.render() + (notes + (data?.notes.map { "note: \($0)" } ?? [])).map { $0 + "\n" }.joined()
  }

  func json() throws -> JSONValue {
    let figures = try ModelFigures(config)
    var fields: [String: JSONValue] = [
      "task": .string(task.rawValue), "preset": .string(preset),
      "variant": .string(config.model.moe.variant), "parameters": .int(figures.costs.parameters),
      "active_parameters": .int(figures.costs.activeParameters),
      "forward_flops_per_sample": .double(figures.costs.forwardFLOPs),
      "flops_per_step": .double(figures.stepFLOPs),
      "state_bytes": .int(figures.stateBytes), "activation_bytes": .double(figures.activationBytes),
    ]
    fields["data"] = data?.json
    return .object(fields)
  }
}
