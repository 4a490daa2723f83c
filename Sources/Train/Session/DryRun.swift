import Foundation
import MMoEModels

/// `--dry-run`: what a run would take, from its configuration alone.
struct DryRun {
  /// Stops what this machine cannot hold before memory is taken: the system would end the process later without a word.
  ///
  /// - Throws: `TrainError` naming both sizes.
  static func requireMemory(for config: RunConfig, task: TaskKind, preset: String) throws {
    let (state, activations) = try DryRun(task: task, preset: preset, config: config).memory
    let needed = Double(state) + activations
    let installed = Double(ProcessInfo.processInfo.physicalMemory)
    guard needed <= installed else {
      throw TrainError(
        "model.width \(config.model.width), model.layers \(config.model.layers), moe.experts \(config.model.moe.experts) and data.batch \(config.data.batch) need about \(HumanFormat.bytes(Int(min(needed, 1e18)))) of memory, this machine has \(HumanFormat.bytes(Int(installed))); lower them or raise train.accumulation"
      )
    }
  }

  let task: TaskKind
  let preset: String
  let config: RunConfig

  private var costs: ModelCosts { get throws { try ModelCosts(config.model) } }

  /// Parameters with gradients and two moments, and the activations that a recorded step keeps, in bytes.
  private var memory: (state: Int, activations: Double) {
    get throws {
      let batch = config.data.batch / config.train.accumulation
      return (try costs.parameters * 16, try costs.activationFloats * Double(batch) * 4)
    }
  }

  func text() throws -> String {
    let (costs, memory) = (try costs, try memory)
    var table = TextTable(columns: [.left("dry run"), .right("\(preset), \(config.model.moe.variant)")])
    table.add(["parameters", HumanFormat.grouped(costs.parameters)])
    table.add(["active parameters a token", HumanFormat.grouped(costs.activeParameters)])
    table.add(["FLOPs an image, forward", HumanFormat.count(costs.forwardFLOPs)])
    table.add([
      "FLOPs a step of \(config.data.batch) images",
      HumanFormat.count(costs.trainingFLOPs * Double(config.data.batch)),
    ])
    table.add(["memory: weights, gradients, moments", HumanFormat.bytes(memory.state)])
    table.add(["memory: activations (estimate)", HumanFormat.bytes(Int(min(memory.activations, 1e18)))])
    return table.render()
  }

  func json() throws -> JSONValue {
    let (costs, memory) = (try costs, try memory)
    return .object([
      "task": .string(task.rawValue), "preset": .string(preset),
      "variant": .string(config.model.moe.variant), "parameters": .int(costs.parameters),
      "active_parameters": .int(costs.activeParameters),
      "forward_flops_per_image": .double(costs.forwardFLOPs),
      "flops_per_step": .double(costs.trainingFLOPs * Double(config.data.batch)),
      "state_bytes": .int(memory.state), "activation_bytes": .double(memory.activations),
    ])
  }
}
