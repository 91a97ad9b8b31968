/**
 * Predictions of a few models of scikit-learn, from their data. Not scikit-learn itself: sums are added in another
 * order than there, so that the last digits may differ; decision trees compare 32-bit features as it does.
 */
import { wrongCall } from "./errors.js";
import { NDArray, PyObject, Scalar, DecisionTree } from "./values.js";

const LINEAR = new Set(["LinearRegression", "Ridge", "Lasso", "ElasticNet", "LassoCV", "RidgeCV", "ElasticNetCV", "SGDRegressor"]);
const LOGISTIC = new Set(["LogisticRegression", "LogisticRegressionCV"]);
const TREES = new Set(["DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"]);
const FORESTS = new Set(["RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"]);

const nameOf = (model) => (model instanceof PyObject && model.class?.startsWith("sklearn.") ? model.class.split(":")[1] : null);

/** Whether `predict` knows how a model predicts. */
export function canPredict(model) {
  const name = nameOf(model);
  return [LINEAR, LOGISTIC, TREES, FORESTS].some((known) => known.has(name)) && !isUnfitted(model);
}

const isUnfitted = (model) => !["coef_", "tree_", "estimators_"].some((name) => model.get(name) !== undefined);

/**
 * What a model predicts for rows, each an array of as many numbers as the model has features. Classifiers give
 * labels, regressors numbers (or arrays of several). Raises SaverError for models that it does not know.
 */
export function predict(model, rows) {
  checkRows(model, rows);
  const name = nameOf(model);
  if (LINEAR.has(name)) return rows.map((row) => unwrapped(linear(model, row)));
  if (name.endsWith("Regressor")) return rows.map((row) => unwrapped(outputsOf(model, row).map((each) => each[0])));
  const classes = labels(model.get("classes_"));
  return predictProba(model, rows).map((shares) => classes[best(shares)]);
}

/** The probability of each class, for each row. */
export function predictProba(model, rows) {
  checkRows(model, rows);
  const name = nameOf(model);
  if (LOGISTIC.has(name)) return rows.map((row) => logistic(model, row));
  if (!name.endsWith("Classifier")) wrongCall(`${name} is not a classifier`);
  return rows.map((row) => {
    const found = outputsOf(model, row);
    if (found.length !== 1) wrongCall("a classifier of several outputs is not one that predict knows");
    return found[0];
  });
}

function checkRows(model, rows) {
  if (!canPredict(model)) wrongCall(`predict does not know ${nameOf(model) ?? "this value"}, or it is not fitted`);
  const count = model.get("n_features_in_");
  if (!rows.every((row) => row.length === count)) wrongCall(`each row must have ${count} numbers`);
}

const unwrapped = (values) => (values.length === 1 ? values[0] : values);
const best = (shares) => shares.reduce((top, share, i) => (share > shares[top] ? i : top), 0);

function labels(array) {
  if (!(array instanceof NDArray)) wrongCall("a classifier of several outputs is not one that predict knows");
  return Array.from(array.data, (label) => (typeof label === "bigint" && label >= -(2n ** 53n) && label <= 2n ** 53n ? Number(label) : label));
}

function numbers(value) {
  if (value instanceof NDArray) return Array.from(value.floats(), Number);
  return [Number(value instanceof Scalar ? value.value : value)];
}

/** One sum for each output. */
function linear(model, row) {
  const coefficients = numbers(model.get("coef_"));
  const intercepts = numbers(model.get("intercept_"));
  const outputs = Math.max(coefficients.length / row.length, 1);
  if (!Number.isInteger(outputs)) wrongCall("the coefficients do not fit the features");
  return Array.from({ length: outputs }, (_, k) => {
    let sum = 0;
    for (let i = 0; i < row.length; i += 1) sum += coefficients[k * row.length + i] * row[i];
    return sum + (intercepts.length === 1 ? intercepts[0] : intercepts[k]);
  });
}

function logistic(model, row) {
  const scores = linear(model, row);
  if (scores.length === 1) {
    const share = 1 / (1 + Math.exp(-scores[0]));
    return [1 - share, share];
  }
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const sum = powers.reduce((all, each) => all + each, 0);
  return powers.map((power) => power / sum);
}

/** The values of the leaf that a row reaches: one list for each output; means over the trees of a forest. */
function outputsOf(model, row) {
  const tree = model.get("tree_");
  if (tree !== undefined) return leaf(tree, row, nameOf(model).endsWith("Classifier"));
  const each = model.get("estimators_").map((one) => leaf(one.get("tree_"), row, nameOf(model).endsWith("Classifier")));
  return each[0].map((first, k) => first.map((_, j) => each.reduce((sum, found) => sum + found[k][j], 0) / each.length));
}

function leaf(tree, row, asShares) {
  if (!(tree instanceof DecisionTree)) wrongCall("a model without its trees cannot predict");
  let node = 0;
  while (tree.leftChild[node] !== -1) {
    const value = Math.fround(row[tree.feature[node]]);
    const goesLeft = Number.isNaN(value) ? tree.missingGoToLeft?.[node] === 1 : value <= tree.threshold[node];
    node = goesLeft ? tree.leftChild[node] : tree.rightChild[node];
  }
  const [, outputs, width] = tree.valueShape;
  return Array.from({ length: outputs }, (_, k) => {
    const from = (node * outputs + k) * width;
    const found = Array.from(tree.value.subarray(from, from + tree.classes[k]));
    const sum = found.reduce((all, share) => all + share, 0);
    return asShares && sum ? found.map((share) => share / sum) : found;
  });
}
