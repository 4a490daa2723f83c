import Foundation
import MMoEConfig
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// Times whole training steps or forward passes of a preset on made-up images or tokens.
package struct StepBenchmark {
  package enum Mode: String, CaseIterable, Sendable {
    case train, forward
  }

  /// One benchmark's figures; the last line of `mmoe bench … --json`.
  package struct Result: Codable, Sendable {
    package var mode: String
    package var preset: String
    package var variant: String
    package var dtype: DType
    package var backend: String
    package var threads: Int
    package var batch: Int
    package var steps: Int
    package var tokensPerSecond: Double
    package var samplesPerSecond: Double
    package var stepMsMedian: Double
    package var stepMsBest: Double
    package var gflopPerStep: Double
    package var gflops: Double
    package var gflopsBest: Double
    package var peakGflops: Double
    package var mfu: Double
    package var mfuBest: Double
    package var peakRssMb: Double
    /// Buffers taken from the system after the third step.
    package var systemAllocationsAfterStep3: Int
    /// Where the time went, when asked for.
    package var profile: StepProfile?

    private enum CodingKeys: String, CodingKey {
      case mode, preset, variant, dtype, backend, threads, batch, steps, profile
      case tokensPerSecond = "tokens_per_s"
      case samplesPerSecond = "samples_per_s"
      case stepMsMedian = "step_ms_median"
      case stepMsBest = "step_ms_best"
      case gflopPerStep = "gflop_per_step"
      case gflops
      case gflopsBest = "gflops_best"
      case peakGflops = "peak_gflops"
      case mfu
      case mfuBest = "mfu_best"
      case peakRssMb = "peak_rss_mb"
      case systemAllocationsAfterStep3 = "system_allocations_after_step3"
    }
  }

  package let config: ModelConfig
  package let optimizer: OptimizerConfig
  package let preset: String
  package let mode: Mode
  package let batch: Int
  package let steps: Int

  package init(
    config: ModelConfig, optimizer: OptimizerConfig, preset: String, mode: Mode, batch: Int,
    steps: Int
  ) {
    self.config = config
    self.optimizer = optimizer
    self.preset = preset
    self.mode = mode
    self.batch = batch
    self.steps = steps
  }

  /// Runs three steps of warm-up and `steps` measured ones, and products between them, which show what the machine can do.
  ///
  /// - Parameter profiled: whether every operation of the measured steps is timed.
  /// - Throws: `ModelError` for an impossible configuration.
  package func run(engine: Engine, profiled: Bool = false) throws -> Result {
    let (model, forward) = try config.family.randomStep(config, batch: batch, engine: engine)
    let updater = mode == .train ? Updater(model.parameters, config: optimizer, engine: engine) : nil

    let timeline = profiled ? Timeline() : nil
    let costs = try ModelCosts(config, training: mode == .train)
    let passes = mode == .train ? 3.0 : 1
    let peak = try ProductBenchmark.Peak(threads: engine.threads, dtype: engine.dtype)
    let warmUp = 3
    var times: [Double] = []
    var flops: [Double] = []
    // Choices of all measured steps, and those that an expert computed.
    var (choices, expertRows) = (0, 0)
    var allocations = 0
    var resident = 0.0
    for step in 0..<warmUp + steps {
      let allocatedBefore = BufferPool.shared.statistics.systemAllocations
      engine.timeline = step < warmUp ? nil : timeline
      let start = monotonicSeconds()
      let tape = Tape(engine, recording: mode == .train)
      let pass = ForwardPass(tape, training: mode == .train, seed: 1, step: step)
      forward(pass)
      if let updater {
        tape.backward()
        let norm = tape.timed("gradient norm") { updater.gradientNorm() }
        tape.timed(optimizer.kind.rawValue) { updater.step(lr: 1e-4, gradientNorm: norm) }
        for parameter in model.parameters { parameter.clearGradient() }
      }
      let seconds = monotonicSeconds() - start
      engine.timeline = nil
      guard step >= warmUp else { continue }
      times.append(seconds)
      flops.append(passes * (Double(batch) * costs.forwardFLOPs - costs.savedFLOPs(pass.routings)))
      for routing in pass.routings {
        choices += routing.load.reduce(0, +)
        expertRows += routing.expertRows
      }
      allocations += BufferPool.shared.statistics.systemAllocations - allocatedBefore
      // Before the first product: its matrices are not the model's memory, which is taken by now.
      if step == warmUp { resident = peakResidentMegabytes() }
      peak.measure()
    }

    // Few steps leave few rounds, the first of them on fresh memory.
    peak.measure(seconds: 0.2)
    let order = times.indices.sorted { times[$0] < times[$1] }
    let (median, best) = (times[order[order.count / 2]], times[order[0]])
    let (meanFLOPs, bestFLOPs) = (flops.reduce(0, +) / Double(steps), flops[order[0]])
    return Result(
      mode: mode.rawValue, preset: preset, variant: config.moe.variant, dtype: engine.dtype,
      backend: engine.backendDescription, threads: engine.threads, batch: batch, steps: steps,
      tokensPerSecond: Double(batch * config.tokens) / median,
      samplesPerSecond: Double(batch) / median, stepMsMedian: median * 1e3,
      stepMsBest: best * 1e3, gflopPerStep: meanFLOPs / 1e9, gflops: meanFLOPs / median / 1e9,
      gflopsBest: bestFLOPs / best / 1e9, peakGflops: peak.gflops, mfu: meanFLOPs / median / 1e9 / peak.gflops,
      mfuBest: bestFLOPs / best / 1e9 / peak.gflops, peakRssMb: resident,
      systemAllocationsAfterStep3: allocations,
      profile: try timeline.map {
        try StepProfile(
          $0, config, optimizer, batch: batch, training: mode == .train, dtype: engine.dtype,
          computed: choices > 0 ? Double(expertRows) / Double(choices) : 1, steps: steps,
          stepSeconds: times.reduce(0, +) / Double(steps))
      })
  }
}

extension StepBenchmark.Result {
  /// Three lines for a terminal, below the profile where there is one.
  package var text: String {
    (profile.map { $0.text + "\n" } ?? "") + """
      \(preset) \(variant), \(mode), batch \(batch), \(threads) threads, \(backend), \(dtype.rawValue) products
      step \(HumanFormat.fixed(stepMsMedian, 1)) ms median, \(HumanFormat.fixed(stepMsBest, 1)) best; \
      \(HumanFormat.fixed(samplesPerSecond, 1)) samples/s, \(HumanFormat.grouped(Int(tokensPerSecond))) tokens/s
      \(HumanFormat.fixed(gflops, 1)) of \(HumanFormat.fixed(peakGflops, 1)) GFLOP/s = MFU \
      \(HumanFormat.percent(mfu)); peak memory \(HumanFormat.fixed(peakRssMb, 0)) MB; \
      \(systemAllocationsAfterStep3) new buffers after step 3

      """
  }
}
