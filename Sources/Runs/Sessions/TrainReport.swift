import Foundation
import MMoEConfig
import MMoEFiles
import MMoEReport
import MMoETensor
import MMoETrain

/// What `mmoe train` says at its end.
struct TrainReport {
  let outcome: Trainer.Outcome
  let job: any TrainingTask
  let config: RunConfig
  let preset: String
  /// Where the data is.
  let data: String
  let plot: String?
  /// The run on a page.
  let page: String?
  /// Of the whole command, and of what came before the first step, in seconds.
  let (seconds, ready): (Double, Double)
  let engine: Engine

  /// For a person.
  func write(to human: any TextSink) {
    for note in job.notes { human.line("note: \(note)") }
    human.line()
    if outcome.isInterrupted {
      human.line("interrupted and saved after step \(outcome.steps)")
    }
    if let evaluation = outcome.evaluation {
      let shown = job.metrics.headlines.compactMap { headline in
        evaluation[headline.metric].map { "\(headline.label) \(headline.text($0))" }
      }
      human.line(
        human.styled("validation  ", .bold) + shown.joined(separator: "   ")
          + "   loss \(HumanFormat.fixed(evaluation.loss, 4))")
    }
    if let best = outcome.best, best.step != outcome.steps {
      let value =
        job.metrics.best.isShare ? HumanFormat.percent(best.value) : HumanFormat.fixed(best.value, 4)
      let file = FilePath.join(FilePath.folder(of: outcome.checkpoint), RunFolder.bestName)
      let place = FileManager.default.fileExists(atPath: file) ? " (\(RunFolder.bestName))" : ", before this branch"
      human.line("best        \(value) after step \(best.step)\(place)")
    }
    human.line(
      "speed       \(HumanFormat.grouped(Int(outcome.unitsPerSecond))) \(job.metrics.unit)/s, waiting for data \(HumanFormat.percent(outcome.waitShare)), in \(HumanFormat.duration(seconds)), peak memory \(HumanFormat.bytes(Int(peakResidentMegabytes() * 1e6)))"
    )
    let metrics = FilePath.join(FilePath.folder(of: outcome.checkpoint), Recorder.fileName)
    if let history = try? MetricsHistory(file: metrics) {
      for line in RoutingNotes.lines(history, config.model.moe) { human.line(human.styled(line, .yellow)) }
    }
    human.line("checkpoint  \(outcome.checkpoint)")
    if let plot { human.line("plot        \(plot)") }
    if let page { human.line("report      \(page)") }
    // The run knows its task and its data.
    let next =
      outcome.isInterrupted
      ? "mmoe train --resume \(ShellWord.quoted(FilePath.folder(of: outcome.checkpoint)))"
      : "mmoe eval --checkpoint \(ShellWord.quoted(FilePath.folder(of: outcome.checkpoint)))"
    human.line("next        \(next)")
  }

  /// For a program.
  var json: [String: JSONValue] {
    var fields: [String: JSONValue] = [
      "task": .string(job.name), "preset": .string(preset), "data": .string(data),
      "variant": .string(config.model.moe.variant), "steps": .int(outcome.steps),
      "seconds": .double(seconds), "ready_s": .double(ready), "train_loss": .double(outcome.trainLoss),
      "val_loss": outcome.evaluation.map { .double($0.loss) } ?? .null,
      "checkpoint": .string(outcome.checkpoint), "plot": plot.map { .string($0) } ?? .null,
      "report": page.map { .string($0) } ?? .null,
      "interrupted": .bool(outcome.isInterrupted), "threads": .int(engine.threads),
      "backend": .string(engine.backendDescription),
      "\(job.metrics.unit)_per_s": .double(outcome.unitsPerSecond),
      "data_wait_share": .double(outcome.waitShare), "seed": .int(config.seed),
      "peak_rss_mb": .double(peakResidentMegabytes()), "flops_per_step": .double(outcome.flopsPerStep),
    ]
    for (name, value) in outcome.evaluation?.metrics ?? [] { fields[name] = .double(value) }
    return fields
  }
}
