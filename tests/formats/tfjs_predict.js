// Loads layers models of TensorFlow.js and predicts: node tfjs_predict.js JOBS, where JOBS is a JSON file with
// [{folder, inputs: [{shape, dtype, data}]}]. Prints, for each, {outputs: [{shape, data}], weights} or {error}.
const fs = require('fs');
const path = require('path');
const tf = require('@tensorflow/tfjs');

async function load(folder) {
  const document = JSON.parse(fs.readFileSync(path.join(folder, 'model.json')));
  const weights = async (manifest) => {
    const specs = manifest.flatMap((group) => group.weights);
    const data = manifest.flatMap((group) => group.paths).map((name) => fs.readFileSync(path.join(folder, name)));
    const all = Buffer.concat(data);
    return [specs, all.buffer.slice(all.byteOffset, all.byteOffset + all.length)];
  };
  return tf.loadLayersModel({load: () => tf.io.getModelArtifactsForJSON(document, weights)});
}

async function run({folder, inputs}) {
  const model = await load(folder);
  const given = inputs.map(({shape, dtype, data}) => tf.tensor(data, shape, dtype));
  const found = model.predict(given.length === 1 ? given[0] : given);
  const outputs = (Array.isArray(found) ? found : [found]).map((each) => ({
    shape: each.shape, data: Array.from(each.dataSync()).map((number) => Number.isFinite(number) ? number : null),
  }));
  return {outputs, weights: model.weights.map((weight) => weight.originalName)};
}

(async () => {
  await tf.setBackend('cpu');
  const results = [];
  for (const job of JSON.parse(fs.readFileSync(process.argv[2]))) {
    try {
      results.push(await run(job));
    } catch (error) {
      results.push({error: String(error && error.message)});
    }
  }
  console.log(JSON.stringify(results));
})();
